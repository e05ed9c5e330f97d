import type { RecordPlan } from '../probes/plan.ts';
import { GROUP } from '../probes/probe-line.ts';
import { CLOCK_EVENT, CLOCK_SYMBOL } from '../probes/timekeeper.ts';
import { shellWord } from '../transports/transport.ts';
import { OWNER_FUNCTIONS } from './owner.ts';

/**
 * The part of the recorder that runs on the host: a POSIX sh script, all of it made here from the plan. It sets up
 * an own trace instance, says so, waits for a line on stdin, records in rounds, and undoes everything when its
 * stdin ends, so that a recorder that died or was cut off leaves nothing behind. What it prints: agent-frames.ts.
 *
 * `marker` ends texts in its output: random, so that no text can hold it.
 */
export function agentScript(plan: RecordPlan, marker: string): string {
  const lines = [PROLOGUE, OWNER_FUNCTIONS];
  const set = (name: string, value: string | number): number =>
    lines.push(`${name}=${shellWord(String(value))}`);
  set('T', plan.tracefs);
  set('PB', plan.pageBytes);
  set('KIB', plan.bufferKib);
  set('MAXKIB', plan.bufferMaxKib);
  set('MARK', marker);
  set('CPUS', plan.cpus.join(' '));
  set('PIDS', plan.pids.join(' '));
  set('DOMID', plan.domid);
  lines.push(SETUP);
  lines.push(`put trace_clock ${shellWord(plan.clock)} || die 'the trace clock ${plan.clock} was refused'`);
  lines.push('put buffer_size_kb $KIB || die "no memory for trace buffers of $KIB KiB a CPU"');
  if (plan.timekeeper !== undefined) lines.push(...sampling(plan.timekeeper));
  for (const { event, definition } of plan.probes) {
    const [before, after] = definition.split(GROUP) as [string, string];
    lines.push(`probe ${event} ${shellWord(before)}"$ID"${shellWord(after)}`);
  }
  for (const { event, filter } of plan.probes) lines.push(`enable "$ID/${event}" ${shellWord(filter)}`);
  for (const { event, filter } of plan.events) lines.push(`enable ${shellWord(event)} ${shellWord(filter)}`);
  lines.push(RECORD);
  return lines.join('\n');
}

/** Sets the probe that reads the kernel's clock, and reads it once; it is read again when recording is over. */
function sampling(timekeeper: NonNullable<RecordPlan['timekeeper']>): string[] {
  if ('why' in timekeeper) return [`noclock=${shellWord(timekeeper.why)}`, 'sample timekeeper-before.txt'];
  const [before, after] = timekeeper.definition.split(GROUP) as [string, string];
  return [
    `noclock=; { printf '%s\\n' ${shellWord(before)}"$ID"${shellWord(after)} >>$T/kprobe_events; } 2>/dev/null ||
  noclock='the kernel refuses the probe'`,
    `[ -n "$noclock" ] || put "events/$ID/${CLOCK_EVENT}/filter" "common_pid==$$" || noclock='the filter was refused'`,
    'sample timekeeper-before.txt',
  ];
}

const PROLOGUE = `LC_ALL=C; export LC_ALL; umask 077; exec 3<&0
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export PATH`;

const SETUP = `ID=$(identity $$)
RUN=
for d in /run /var/run; do
  mkdir -p $d/ioreq-trace 2>/dev/null && mkdir $d/ioreq-trace/$ID 2>/dev/null && { RUN=$d/ioreq-trace/$ID; break; }
done
I=$T/instances/$ID
stop= cut= watch= nap=
undo() {
  trap '' TERM INT HUP
  [ -n "$watch" ] && kill $watch 2>/dev/null
  forget $ID
}
die() { printf 'E %s\\n' "$*"; exit 1; }
trap undo EXIT
trap 'stop=1' TERM INT HUP
trap 'cut=1' USR1
trap '' PIPE
[ -n "$RUN" ] || die '/run cannot be written (is this root?)'
put() { printf '%s\\n' "$2" >"$I/$1"; } 2>/dev/null
text() { printf 'T %s\\n' "$1"; cat "$2" 2>/dev/null; printf '\\n%s\\n' "$MARK"; }
probe() {
  { printf '%s\\n' "$2" >>$T/kprobe_events; } 2>/dev/null && { printf '%s\\n' "$2" >>$RUN/probes; return; }
  why=$(sed -n 's/.*error: //p' $T/error_log 2>/dev/null | tail -n 1)
  printf 'W %s: the kernel refuses the probe%s\\n' "$1" "\${why:+ ($why)}"
}
enable() {
  [ -d "$I/events/$1" ] || return
  if [ -n "$2" ]; then
    put "events/$1/filter" "$2" || { printf 'W %s: its filter was refused: not recorded\\n' "$1"; return; }
  fi
  put "events/$1/enable" 1 || { printf 'W %s: cannot be switched on\\n' "$1"; return; }
  text "tracefs/events/$1/format" "$I/events/$1/format"
}
up=0 noclock=-
now() { read -r t rest </proc/uptime; case $t in *.*) up=$t;; esac; }
# The words of the kernel's clock, four times; or why not.
sample() {
  if [ -z "$noclock" ]; then
    put "events/$ID/${CLOCK_EVENT}/enable" 1; put tracing_on 1
    now; now; now; now
    put tracing_on 0; put "events/$ID/${CLOCK_EVENT}/enable" 0
    sed -n 's/^.*: ${CLOCK_EVENT}: ([^)]*) /${CLOCK_SYMBOL} /p' $I/trace >$RUN/pages 2>/dev/null
    { : >$I/trace; } 2>/dev/null
    [ -s $RUN/pages ] || noclock='the probe gave nothing'
  fi
  [ -z "$noclock" ] || printf '# ${CLOCK_SYMBOL}: %s\\n' "$noclock" >$RUN/pages
  text $1 $RUN/pages
}
mkdir "$I" 2>/dev/null || die 'no trace instance can be made (is this root? is the kernel locked down?)'
printf 'I %s\\n' "$ID"
put tracing_on 0`;

const RECORD = `text tracefs/events/header_page $T/events/header_page
text trace_clock.txt $I/trace_clock
: >>$RUN/probes; text kprobe_events.txt $RUN/probes
NB=; dd if=/dev/null of=/dev/null iflag=nonblock 2>/dev/null && NB=iflag=nonblock
stats() {
  entries=0 overrun=0 bytes=0 dropped=0
  while IFS=: read -r k v; do
    v=\${v# }; v=\${v%%.*}
    # Not a number: busybox's read gives half a line when a child ends meanwhile. Above 10^15: the kernel took the
    # difference of counters that went on meanwhile, and prints what is below 0 as nearly 2^64.
    case $v in '' | *[!0-9]* | ????????????????*) continue;; esac
    case $k in entries) entries=$v;; overrun) overrun=$v;; bytes) bytes=$v;; 'dropped events') dropped=$v;; esac
  done <$I/per_cpu/cpu$1/stats
}
# Without non-blocking reads: as many pages as the unread events fill at the very least (510 of 8 bytes a page).
limit() { [ -n "$NB" ] || echo count=$(((entries + 509) / 510)); }
drain() {
  stats $1
  printf 'S %s %s %s %s %s\\n' $1 $entries $overrun $bytes $dropped
  [ $((bytes / 256)) -gt $KIB ] && busy=1
  if [ $((bytes / 512)) -gt $KIB ] && [ $((KIB * 2)) -le $MAXKIB ]; then
    KIB=$((KIB * 2)); put buffer_size_kb $KIB && printf 'B %s\\n' $KIB
  fi
  [ $entries -gt 0 ] || return
  n=$(dd if=$I/per_cpu/cpu$1/trace_pipe_raw of=$RUN/pages bs=$PB $NB $(limit) 2>&1)
  n=\${n%%+*}; n=\${n##*[!0-9]}
  [ "\${n:-0}" -gt 0 ] || return
  printf 'P %s %s\\n' $1 $n && cat $RUN/pages || stop=1
}
# A xenstore that does not even know Dom0 does not answer: that is not the domain's end.
there() { xenstore-exists /local/domain/$1 2>/dev/null; }
seen() { command -v xenstore-exists >/dev/null 2>&1 || return 0; there $DOMID || ! there 0; }
printf 'Y\\n'
IFS= read -r go <&3 || exit 0
put tracing_on 1 || die 'tracing cannot be switched on'
now; printf 'G %s\\n' $up
( trap - EXIT TERM; while IFS= read -r line; do kill -USR1 $$; done; living $ID && kill -TERM $$ ) <&3 >/dev/null 2>&1 & watch=$!
empty() {
  for c in $CPUS; do
    tries=0 none=0
    while [ $none -lt 2 ] && [ $tries -lt 4096 ]; do
      drain $c; tries=$((tries + 1)); none=$((none + 1)); [ $entries = 0 ] || none=0
    done
  done
}
round=0
while [ -z "$stop" ]; do
  [ -n "$busy" ] || { sleep 1 & nap=$!; wait $nap; }
  busy=; round=$((round + 1))
  now
  printf 'R %s %s\\n' $round $up || break
  for c in $CPUS; do drain $c; done
  [ -n "$cut" ] && { cut=; put tracing_on 0; empty; put tracing_on 1; printf 'C\\n'; }
  for p in $PIDS; do [ -d /proc/$p ] || printf 'D %s\\n' $p; done
  [ $((round % 2)) = 0 ] && { seen || printf 'X\\n'; }
done
[ -n "$nap" ] && kill $nap 2>/dev/null
put tracing_on 0
now; printf 'H %s\\n' $up
empty
for c in $CPUS; do text cpu$c.stats $I/per_cpu/cpu$c/stats; done
text saved_cmdlines.txt $T/saved_cmdlines
# Nothing else may get into buffers that are not read any more.
[ -n "$noclock" ] || { put events/enable 0; sample timekeeper-after.txt; }
printf 'E done\\n'`;
