#!/bin/sh
# Everything that must hold: types, lint, format, tests. Peers and a browser are installed where that is possible;
# tests that need one that is missing say so loudly and are skipped.
set -eu
. "$(dirname "$0")/setup.sh"

debian chromium=chromium xenalyze=xen-utils-common trace-cmd=trace-cmd xz=xz-utils busybox=busybox xmllint=libxml2-utils \
  ssh=openssh-client sshd=openssh-server qemu-system-aarch64=qemu-system-arm qemu-storage-daemon=qemu-system-common \
  /usr/lib/qemu/vhost-user-gpu=qemu-system-gui zsh=zsh fish=fish mandoc=mandoc groff=groff babeltrace2=babeltrace2 || true

# A newer Debian's QEMU for this machine, in the cache: replays are tried in both.
cached=${XDG_CACHE_HOME:-$HOME/.cache}/ioreq-trace/replay-qemu/qemu-system-aarch64
[ -x "$cached" ] || bash replayer/targets/testing/fetch-qemu.sh >/dev/null 2>&1 || echo 'no newer QEMU could be fetched' >&2

# ClickHouse's engine for the tests of the server, in the cache too (550 MB; the tool itself never needs it).
sh fixtures/clickhouse/install.sh >/dev/null 2>&1 || echo 'no ClickHouse engine could be installed' >&2
bash fixtures/clickhouse/fetch-old.sh >/dev/null 2>&1 || echo 'no ClickHouse 18.16 could be fetched' >&2

say build
npm run -s build
say types
npm run -s typecheck
say lint
npm run -s lint
say format
npm run -s format:check
say tests
mkdir -p out
status=0
npx vitest run --reporter=default --reporter=json --outputFile=out/vitest.json || status=$?
node -e '
  const r = JSON.parse(require("node:fs").readFileSync("out/vitest.json", "utf8"));
  console.log(`vitest: ${r.numPassedTests} passed, ${r.numFailedTests} failed, ${r.numPendingTests} skipped`);
'
exit $status
