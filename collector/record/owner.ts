/**
 * Shell functions about recorders' names. A recorder is named ioreqtrace_PID_START: the pid of its shell on the host
 * and that process's start time in clock ticks since boot (field 22 of /proc/PID/stat), so that the name itself
 * tells whether its owner still lives. Trace instance, kprobe group and folder under /run all have that name.
 */
export const OWNER_FUNCTIONS = `startof() {
  { IFS= read -r stat </proc/$1/stat; } 2>/dev/null || return 1
  set -f; set -- \${stat##*) }; set +f; printf '%s' \${20}
}
identity() { printf 'ioreqtrace_%s_%s' $1 $(startof $1); }
living() { owner=\${1#ioreqtrace_}; [ "$(startof \${owner%%_*})" = "\${owner#*_}" ]; }
forget() {
  i=$T/instances/$1
  if [ -d "$i" ]; then
    { echo 0 >"$i/tracing_on"; echo 0 >"$i/events/enable"; } 2>/dev/null
    n=0; until rmdir "$i" 2>/dev/null || [ $n -ge 20 ]; do n=$((n + 1)); sleep 1; done
  fi
  for e in $(sed -n "s,^[pr][0-9]*:\\($1/[^ ]*\\) .*,\\1,p" $T/kprobe_events 2>/dev/null); do
    { echo "-:$e" >>$T/kprobe_events; } 2>/dev/null
  done
  for d in /run /var/run; do
    rm -f $d/ioreq-trace/$1/pages $d/ioreq-trace/$1/probes 2>/dev/null
    rmdir $d/ioreq-trace/$1 2>/dev/null && rmdir $d/ioreq-trace 2>/dev/null
  done
  return 0
}`;
