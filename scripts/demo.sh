#!/bin/sh
# The main jobs on real data: raw files of a live Xen-on-Arm host become a trace, a report and a page; a recording of a
# guest's accesses is replayed.
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
say 'trace replay: recorded accesses and memory of another guest, fed back into device models'
# Its disk as it was at the start: every sector holds its own number.
awk 'BEGIN { for (s = 0; s < 16384; s++) for (i = 0; i < 32; i++) printf "sector %08d ", s }' >"$out/disk.img"
npx trace replay fixtures/recordings/all-modern.jsonl.xz --disk 0="$out/disk.img"
printf '\nOpen %s/%s/p1.html in a browser.\n' "$PWD" "$out"
