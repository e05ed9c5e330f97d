#!/bin/bash
# Fetches the QEMU of a newer Debian (default: trixie, QEMU 10) for this machine's own processor, with its
# libraries, its program loader and the virtio-gpu module, into the cache: a second device model to replay into,
# beside the one that is installed. Needs apt-get, a Debian archive in apt's sources and its keys; changes
# nothing outside of the cache. About 40 MB to fetch, 70 MB on disk, less than a minute.
set -euo pipefail
export LC_ALL=C
SUITE=${1:-trixie}
KEEP=${XDG_CACHE_HOME:-$HOME/.cache}/ioreq-trace/replay-qemu
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
[ -n "$mirror" ] || { echo "no Debian archive in this machine's apt sources" >&2; exit 1; }
mkdir -p "$WORK/lists/partial" "$WORK/cache/archives/partial" "$WORK/debs" "$WORK/root"
: >"$WORK/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $SUITE main" >"$WORK/sources.list"

# apt with lists and a package database of its own: the machine's are neither read nor changed.
suite_apt() {
  local command=$1
  shift
  "$command" -q -o Dir::Etc::sourcelist="$WORK/sources.list" -o Dir::Etc::sourceparts=- \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::lists="$WORK/lists" \
    -o Dir::State::status="$WORK/status" -o Dir::Cache="$WORK/cache" -o APT::Sandbox::User=root "$@"
}

suite_apt apt-get update -qq >&2
packages=$(suite_apt apt-get install --simulate --no-install-recommends qemu-system-arm | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
cd "$WORK/debs"
# shellcheck disable=SC2086 # a list of names
suite_apt apt-get download $packages >&2
for deb in *.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -C "$WORK/root" -x --keep-directory-symlink; done

root=$WORK/root
out=$WORK/out
mkdir -p "$out/lib" "$out/modules"
find "$root" -path '*/qemu' -prune -o -path '*/lib*' -name '*.so*' \( -type f -o -type l \) -print |
  while read -r lib; do if [ -e "$lib" ]; then cp -nL "$lib" "$out/lib/"; fi; done
cp "$root/usr/bin/qemu-system-aarch64" "$out/program"
cp "$root"/usr/lib/*/qemu/hw-display-virtio-gpu.so "$out/modules/"
cp "$(find "$out/lib" -name 'ld-linux*' | head -n 1)" "$out/loader"
# Only what the program and the module need.
{ "$out/loader" --library-path "$out/lib" --list "$out/program"
  "$out/loader" --library-path "$out/lib" --list "$out/modules/hw-display-virtio-gpu.so"; } |
  awk '/=> \//{print $3}' | xargs -n 1 basename | sort -u >"$WORK/needed"
for lib in "$out"/lib/*; do grep -qxF "$(basename "$lib")" "$WORK/needed" || rm "$lib"; done
cat >"$out/qemu-system-aarch64" <<'SCRIPT'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
QEMU_MODULE_DIR=$here/modules exec "$here/loader" --library-path "$here/lib" "$here/program" "$@"
SCRIPT
chmod +x "$out/qemu-system-aarch64"
"$out/qemu-system-aarch64" --version
rm -rf "$KEEP"
mkdir -p "$(dirname "$KEEP")"
mv "$out" "$KEEP"
echo "$KEEP/qemu-system-aarch64"
