#!/bin/sh
# The main job on a real capture: raw files of a live Xen-on-Arm host become a trace, a report and a page.
set -eu
. "$(dirname "$0")/setup.sh"

out=out/demo
rm -rf "$out"
mkdir -p "$out"
tar xzf fixtures/captures/P1.tar.gz -C "$out"
npm run -s build

say 'trace import: raw xentrace, ftrace pages and QEMU log to one trace'
npx trace import "$out/P1" -o "$out/p1.trace"
say 'trace analyze: where the time of an ioreq goes'
npx trace analyze "$out/p1.trace" --by register --slowest 3
say 'trace view: the page'
npx trace view "$out/p1.trace" -o "$out/p1.html"
printf '\nOpen %s/%s/p1.html in a browser.\n' "$PWD" "$out"
