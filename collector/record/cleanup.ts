import { TraceError } from '../../trace/errors.ts';
import type { HostTransport } from '../transports/transport.ts';
import { shellWord } from '../transports/transport.ts';
import { OWNER_FUNCTIONS } from './owner.ts';
import { switchOffNoted } from './qemu-events.ts';

export interface Leftover {
  /** Name of the dead recorder. */
  id: string;
  /** What of it was found and removed. */
  what: string[];
}

/**
 * Removes what dead recorders left on the host: their trace instances, kprobes, run folders, an xentrace that
 * still runs for them, Xen's tracing if theirs was killed. Recorders that live, and anything that does not bear a
 * recorder's name, are not touched. Rejects with E_HOST if something of a dead recorder cannot be removed.
 */
export async function removeLeftovers(
  host: HostTransport,
  tracefs: string,
  xentrace: string | undefined,
): Promise<Leftover[]> {
  const { stdout, code } = await host.run(script(tracefs, xentrace), { timeoutMs: 60_000 });
  if (code !== 0) {
    throw new TraceError('E_HOST', 'what dead recorders left cannot be looked for', {
      source: host.name,
      got: code === null ? 'no answer in 60 s' : `exit code ${code}`,
    });
  }
  const found = new Map<string, string[]>();
  const notes: string[] = [];
  for (const line of stdout.split('\n')) {
    const [id = '', word = '', ...rest] = line.split('\t');
    let what = word;
    if (what === '') continue;
    if (what.startsWith('QMP ')) {
      notes.push([what.slice(4), ...rest].join('\t'));
      what = "QEMU's trace events";
      if (found.get(id)?.includes(what) === true) continue;
    }
    if (what === 'STUCK') {
      throw new TraceError('E_HOST', 'what a dead recorder left cannot be removed', {
        source: host.name,
        got: id,
      });
    }
    const list = found.get(id) ?? [];
    list.push(what);
    found.set(id, list);
  }
  const failed = await switchOffNoted(host, notes.join('\n'));
  for (const list of found.values())
    if (failed.length > 0) list.push(`QEMU did not answer: ${failed.join(', ')}`);
  return [...found].map(([id, what]) => ({ id, what }));
}

function script(tracefs: string, xentrace: string | undefined): string {
  return `LC_ALL=C; export LC_ALL
T=${shellWord(tracefs)}; XT=${shellWord(xentrace ?? '')}
${OWNER_FUNCTIONS}
say() { printf '%s\\t%s\\n' "$1" "$2"; }
names() {
  ls $T/instances /run/ioreq-trace /var/run/ioreq-trace 2>/dev/null
  sed -n 's,^[pr][0-9]*:\\(ioreqtrace_[0-9]*_[0-9]*\\)/.*,\\1,p' $T/kprobe_events 2>/dev/null
}
for id in $(names | grep '^ioreqtrace_[0-9]*_[0-9]*$' | sort -u); do
  living $id && continue
  for d in /run /var/run; do
    [ -f $d/ioreq-trace/$id/xentrace ] || continue
    read -r pid start <$d/ioreq-trace/$id/xentrace
    if [ -n "$start" ] && [ "$(startof $pid)" = "$start" ]; then
      kill -TERM $pid; n=0
      while [ -d /proc/$pid ] && [ $n -lt 10 ]; do sleep 1; n=$((n + 1)); done
      say $id 'its xentrace'
    elif [ -n "$XT" ]; then
      # It was killed and could not switch tracing off in Xen: one that runs and ends does.
      running=$(cat /proc/[0-9]*/comm 2>/dev/null | grep -cx xentrace)
      [ "$running" = 0 ] && { $XT -D -e 0x0001f000 -T 1 /dev/null >/dev/null 2>&1; say $id "Xen's tracing"; }
    fi
    rm -f $d/ioreq-trace/$id/xentrace
  done
  for f in /run/ioreq-trace/$id/qmp-* /var/run/ioreq-trace/$id/qmp-*; do
    [ -f "$f" ] || continue
    while IFS= read -r line; do say $id "QMP $line"; done <"$f"
    rm -f "$f"
  done
  [ -d $T/instances/$id ] && say $id 'trace instance'
  grep -q "^[pr][0-9]*:$id/" $T/kprobe_events 2>/dev/null && say $id 'kprobes'
  [ -d /run/ioreq-trace/$id ] && say $id 'run folder'
  forget $id
  [ -d $T/instances/$id ] || grep -q "^[pr][0-9]*:$id/" $T/kprobe_events 2>/dev/null && say $id STUCK
done
exit 0`;
}
