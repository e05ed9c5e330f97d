# Sourced by demo.sh and test.sh: goes to the checkout, and makes sure of Node, npm and the packages from npm.
# Everything it installs comes from Debian's archive or the npm registry, as this machine is set up for them.
cd "$(dirname "$0")/.." || exit 1

say() { printf '\n== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# debian COMMAND=PACKAGE ...: installs the packages whose command is missing. False if that cannot be done here.
debian() {
  missing=
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || missing="$missing ${pair#*=}"
  done
  [ -z "$missing" ] && return 0
  command -v apt-get >/dev/null 2>&1 || { echo "not a Debian machine: install by hand:$missing" >&2; return 1; }
  as_root=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null || { echo "not root: install by hand:$missing" >&2; return 1; }
    as_root=sudo
  fi
  say "Debian packages:$missing"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # package names are words of their own
  $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

command -v node >/dev/null 2>&1 || debian node=nodejs || die 'Node.js 20 or later is needed'
node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' ||
  die "Node.js 20 or later is needed, this is $(node --version)"
command -v npm >/dev/null 2>&1 || debian npm=npm || die 'npm is needed'

# npm ci leaves a copy of the lock file in node_modules: packages are fetched anew only when the lock changed.
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say 'packages from npm'
  npm ci --no-audit --no-fund --loglevel=error
fi
