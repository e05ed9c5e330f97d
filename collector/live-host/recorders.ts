import type { HostTransport } from '../transports/transport.ts';
import { FIND_TRACEFS } from './script.ts';
import { readSections } from './sections.ts';
import type { Sections } from './sections.ts';

/** A recorder of which something is on the host: ioreqtrace_PID_START, after the shell that runs or ran it there. */
export interface Recorder {
  id: string;
  /** The shell with that pid and start time runs still. */
  alive: boolean;
  /** What of it is there: 'trace instance', 'kprobes', 'folder in /run'. */
  has: string[];
}

/** Reads only. Names come from folders and probe groups; start times of their pids from /proc. */
export const RECORDERS_SCRIPT = `IFS= read -r M
at() { printf '\\n@@%s %s\\n' "$M" "$1"; }
${FIND_TRACEFS}
at instances; for d in "$T"/instances/ioreqtrace_*; do [ -d "$d" ] && printf '%s\\n' "\${d##*/}"; done
at probes; sed -n 's,^[pr][0-9]*:\\(ioreqtrace_[0-9]*_[0-9]*\\)/.*,\\1,p' "$T/kprobe_events" 2>/dev/null
at run; for d in /run/ioreq-trace/* /var/run/ioreq-trace/*; do [ -d "$d" ] && printf '%s\\n' "\${d##*/}"; done
at stats; for i in "$T"/instances/ioreqtrace_* /run/ioreq-trace/* /var/run/ioreq-trace/* $(
  sed -n 's,^[pr][0-9]*:\\(ioreqtrace_[0-9]*_[0-9]*\\)/.*,\\1,p' "$T/kprobe_events" 2>/dev/null); do
  p=\${i##*/ioreqtrace_}; p=\${p#ioreqtrace_}; p=\${p%%_*}
  case $p in *[!0-9]*|'') ;; *) cat /proc/$p/stat 2>/dev/null;; esac
done
at end`;

/**
 * Recorders that run on the host, and dead ones that left something there.
 *
 * @throws (rejects) TraceError E_HOST
 */
export async function listRecorders(host: HostTransport): Promise<Recorder[]> {
  return parseRecorders(await readSections(host, RECORDERS_SCRIPT));
}

export function parseRecorders(sections: Sections): Recorder[] {
  const living = new Set<string>();
  for (const line of (sections.get('stats') ?? '').split('\n')) {
    // Field 22, counted from behind the name, which may hold blanks and brackets.
    const start = line.slice(line.lastIndexOf(')') + 2).split(' ')[19];
    const pid = /^(\d+) \(/.exec(line)?.[1];
    if (pid !== undefined && start !== undefined) living.add(`ioreqtrace_${pid}_${start}`);
  }
  const recorders = new Map<string, Recorder>();
  for (const [section, what] of PLACES) {
    for (const id of new Set((sections.get(section) ?? '').split('\n'))) {
      if (!/^ioreqtrace_\d{1,10}_\d{1,20}$/.test(id)) continue;
      const recorder = recorders.get(id) ?? { id, alive: living.has(id), has: [] };
      recorder.has.push(what);
      recorders.set(id, recorder);
    }
  }
  return [...recorders.values()];
}

const PLACES = [
  ['instances', 'trace instance'],
  ['probes', 'kprobes'],
  ['run', 'folder in /run'],
] as const;
