#!/bin/sh
# truth.sh [--xen VARIANT]... [FILE_OF_TESTS...]: recordings of live hosts under emulation against what their guests
# count; one host after the other, by default one whose Xen has no patches and one with the trace points.
set -eu
cd "$(dirname "$0")/.."
variants=
while [ "${1-}" = --xen ]; do
  variants="$variants ${2:?--xen needs a variant}"
  shift 2
done
status=0
for xen in ${variants:-unpatched patched}; do
  printf '\n== Xen: %s\n' "$xen"
  IOREQ_TRACE_TRUTH_XEN=$xen npx vitest run --config scripts/truth.config.ts "$@" || status=$?
done
exit $status
