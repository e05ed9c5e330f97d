#!/bin/sh
# A live host: boots Xen, Dom0 and a guest under emulation (built from Debian's archive the first time, some ten
# minutes), records the guest's domain with `trace record --domid` over ssh while it works, and makes the page of it.
set -eu
. "$(dirname "$0")/setup.sh"

out=out/live
state=$PWD/$out/state
rm -rf "$out"
mkdir -p "$out"
npm run -s build
npm run -s bench:build
xen() { node out/bench/fixtures/xen-on-arm/cli.js "$@" --state "$state"; }

say 'the host: Xen 4.20 and a Debian Dom0 under emulation'
trap 'xen down >/dev/null 2>&1 || true' EXIT
trap 'exit 130' INT TERM
xen up
say 'a guest: two vCPUs, two virtio-blk and a virtio-net device'
xen guest start --name g1 --vcpus 2 --devices blk,blk,net

IOREQ_TRACE_SSH="-F $state/ssh_config"
export IOREQ_TRACE_SSH
say 'trace probe: what this host can give'
npx trace probe --host ssh://dom0 --domid g1
say 'trace record --domid g1, while the guest reads and writes its disks'
# node itself, so that the signal below reaches the recorder and not npx
node dist/trace.mjs record --host ssh://dom0 --domid g1 -o "$out/g1.trace" &
recorder=$!
until [ -s "$out/g1.trace/raw/xentrace.bin" ]; do
  kill -0 $recorder 2>/dev/null || die 'the recorder ended early'
  sleep 1
done
xen workload blk-mixed --name g1 --size 50 >"$out/truth.json"
kill -INT $recorder
wait $recorder

say 'trace analyze: where the time of an ioreq goes'
npx trace analyze "$out/g1.trace" --by device --slowest 3
say 'trace view: the page'
npx trace view "$out/g1.trace" -o "$out/g1.html"
printf '\nOpen %s/%s/g1.html in a browser. What the guest itself counted: %s/truth.json\n' "$PWD" "$out" "$out"
