import type { EventColumns } from '../../trace/columns.ts';
import { BATCH_ROWS, EventBatch } from '../../trace/columns.ts';
import { EVENT, K } from '../../trace/events.ts';
import type { ClockRelation, Manifest, SourceFacts } from '../../trace/manifest.ts';
import type { TraceView } from '../view.ts';

const FIRST = K.ARM_S2_ABORT;
const LAST = K.ARM_CNTVOFF;

/** Names of the kinds that only a patched Xen writes. */
const NAMES = new Set<string>(
  Object.values(EVENT)
    .filter((kind) => kind.id >= FIRST && kind.id <= LAST)
    .map((kind) => kind.name),
);

/**
 * The same trace as an unpatched Xen would have given it: without a row of the Arm trace points (kinds 30-39), and
 * with no relation between the clocks, which may have come from them. withClock puts one in again.
 */
export function withoutTracePoints(view: TraceView): TraceView {
  const patched = new Set(
    view.manifest.sources
      .filter((s) => Object.keys(s.kinds).some((name) => NAMES.has(name)))
      .map((s) => s.id),
  );
  const batches = (id: string): Iterable<EventColumns> => {
    const source = view.source(id);
    return patched.has(id) ? { [Symbol.iterator]: () => kept(source.batches()) } : source.batches();
  };
  const sources = view.manifest.sources.map((s) => (patched.has(s.id) ? factsOf(s, batches(s.id)) : s));
  const manifest: Manifest = { ...view.manifest, sources };
  delete manifest.clock;
  return { manifest, source: (id) => ({ batches: () => batches(id) }) };
}

export function withClock(view: TraceView, clock: ClockRelation | undefined): TraceView {
  const manifest = { ...view.manifest };
  if (clock === undefined) delete manifest.clock;
  else manifest.clock = clock;
  return { manifest, source: (id) => view.source(id) };
}

/** Rows and times anew: the first or last record of the whole may have been a trace point. */
function factsOf(facts: SourceFacts, batches: Iterable<EventColumns>): SourceFacts {
  let rows = 0;
  let first = NaN;
  let last = NaN;
  for (const { ts, length } of batches) {
    rows += length;
    if (length === 0) continue;
    if (Number.isNaN(first)) first = ts[0]!;
    last = ts[length - 1]!;
  }
  const kinds = Object.fromEntries(Object.entries(facts.kinds).filter(([name]) => !NAMES.has(name)));
  return { ...facts, rows, kinds, firstTs: rows === 0 ? 0 : first, lastTs: rows === 0 ? 0 : last };
}

/** Each batch without the rows of trace points; one buffer serves all batches. */
function* kept(batches: Iterable<EventColumns>): Generator<EventColumns, void, undefined> {
  const out = new EventBatch(BATCH_ROWS);
  for (const batch of batches) {
    for (let from = 0; from < batch.length;) {
      from = pack(batch, from, out);
      if (out.length > 0) yield out;
    }
  }
}

/** Copies what stays of `batch` from row `from` on, as far as there is room; gives the row to go on with. */
function pack(batch: EventColumns, from: number, out: EventBatch): number {
  const { kind } = batch;
  let n = 0;
  let i = from;
  for (; i < batch.length && n < out.capacity; i++) {
    const k = kind[i]!;
    if (k >= FIRST && k <= LAST) continue;
    out.ts[n] = batch.ts[i]!;
    out.kind[n] = k;
    out.cpu[n] = batch.cpu[i]!;
    out.domid[n] = batch.domid[i]!;
    out.vcpu[n] = batch.vcpu[i]!;
    out.pid[n] = batch.pid[i]!;
    out.addr[2 * n] = batch.addr[2 * i]!;
    out.addr[2 * n + 1] = batch.addr[2 * i + 1]!;
    out.data[2 * n] = batch.data[2 * i]!;
    out.data[2 * n + 1] = batch.data[2 * i + 1]!;
    out.arg0[n] = batch.arg0[i]!;
    out.arg1[n] = batch.arg1[i]!;
    out.arg2[n] = batch.arg2[i]!;
    out.arg3[n] = batch.arg3[i]!;
    n++;
  }
  out.length = n;
  return i;
}
