import { kindName } from '../trace/events.ts';
import type { OpenTrace } from '../trace/open-files.ts';

/**
 * Counts anew what the manifest of an unfinished or damaged trace does not know yet: rows, kinds and times of
 * the events that can be read. A whole trace is left as it is, without reading a row.
 */
export function refreshFacts(trace: OpenTrace): void {
  for (const source of trace.sources) {
    const { facts, scan } = source;
    if (trace.manifest.complete && scan.damage === undefined) continue;
    const counts = new Float64Array(65_536);
    let first = NaN;
    let last = NaN;
    for (const { kind, ts, length } of source.batches()) {
      for (let i = 0; i < length; i++) {
        counts[kind[i]!]!++;
        const at = ts[i]!;
        if (Number.isNaN(at)) continue;
        last = at;
        if (Number.isNaN(first)) first = at;
      }
    }
    facts.rows = scan.rows;
    facts.firstTs = Number.isNaN(first) ? 0 : first;
    facts.lastTs = Number.isNaN(last) ? 0 : last;
    facts.kinds = {};
    for (let kind = 0; kind < counts.length; kind++) {
      if (counts[kind]! > 0) facts.kinds[kindName(kind)] = counts[kind]!;
    }
  }
}
