#!/bin/bash
# Applies the series of trace points that fits to a Xen source tree (upstream's or Debian's, with or without git).
#
#   apply.sh XEN_SOURCE_TREE
#
# Either the whole series is applied or nothing is changed. In a git work tree the patches become commits (git am),
# elsewhere they are applied with patch -p1. Exit status: 0 applied, or was so already; 1 refused; 2 wrong usage.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
refuse() { echo "apply.sh: $*" >&2; exit 1; }

[ $# = 1 ] || { echo "usage: apply.sh XEN_SOURCE_TREE" >&2; exit 2; }
[ -e "$1/xen/Makefile" ] && [ -e "$1/xen/include/public/trace.h" ] || refuse "$1 is not a Xen source tree (no xen/Makefile, or no xen/include/public/trace.h)"
tree=$(cd "$1" && pwd)

number() { sed -n "s/^ *\(export \)\{0,1\}$1 *[:?]\{0,1\}= *\([0-9][0-9]*\).*/\2/p" "$tree/xen/Makefile" | head -n 1; }
major=$(number XEN_VERSION) minor=$(number XEN_SUBVERSION)
[ -n "$major" ] && [ -n "$minor" ] || refuse "$tree/xen/Makefile names no XEN_VERSION and XEN_SUBVERSION"
version=$major.$minor
newest=$(cd "$here" && ls -d [0-9]*.[0-9]* | sort -V | tail -n 1)
oldest=$(cd "$here" && ls -d [0-9]*.[0-9]* | sort -V | head -n 1)
if [ -d "$here/$version" ]; then
  series=$version
elif [ "$(printf '%s\n' "$newest" "$version" | sort -V | tail -n 1)" = "$version" ]; then
  series=master
else
  refuse "there is no series for Xen $version (there is one for $oldest to $newest, and master)"
fi

# The header comes first in a series, the hook of CNTVOFF last.
if grep -q TRC_ARM_S2_ABORT "$tree/xen/include/public/trace.h"; then
  if grep -q arch_trace_domain "$tree/xen/arch/arm/vtimer.c"; then
    echo "Xen $version in $tree has the trace points already"
    exit 0
  fi
  refuse "$tree has other trace points, or a part of the series: start from a clean tree"
fi

# Tried on copies of the files first, without fuzz: a hunk in the wrong place would compile, too.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
patches=("$here/$series"/*.patch)
mapfile -t files < <(sed -n 's|^+++ b/||p' "${patches[@]}" | sort -u)
for file in "${files[@]}"; do
  [ -e "$tree/$file" ] || refuse "Xen $version: $tree has no $file"
  mkdir -p "$copy/$(dirname "$file")"
  cp "$tree/$file" "$copy/$file"
done
for patch in "${patches[@]}"; do
  (cd "$copy" && patch -s -p1 -F0 --no-backup-if-mismatch <"$patch" >out 2>&1) ||
    refuse "Xen $version: $series/$(basename "$patch") does not apply: $(grep -m 1 -E 'FAILED|malformed|find' "$copy/out" || head -n 1 "$copy/out")"
done

if command -v git >/dev/null && [ "$(git -C "$tree" rev-parse --show-toplevel 2>/dev/null)" = "$(realpath "$tree")" ]; then
  [ -z "$(git -C "$tree" status --porcelain --untracked-files=no -- "${files[@]}")" ] ||
    refuse "$tree: files that the series changes have changes that are not committed"
  # git am wants a committer; the tree's own is used if there is one.
  git -C "$tree" var GIT_COMMITTER_IDENT >/dev/null 2>&1 ||
    export GIT_COMMITTER_NAME='ioreq-trace' GIT_COMMITTER_EMAIL='developers@ioreq-trace.invalid'
  git -C "$tree" am -q "${patches[@]}" >"$copy/out" 2>&1 || {
    git -C "$tree" am --abort >/dev/null 2>&1 || true
    refuse "Xen $version: git am: $(head -n 1 "$copy/out")"
  }
else
  for patch in "${patches[@]}"; do
    (cd "$tree" && patch -s -p1 -F0 --no-backup-if-mismatch <"$patch")
  done
fi
echo "Xen $version in $tree: ${#patches[@]} patches of $series applied"
