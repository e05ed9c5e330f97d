import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EventBatch } from '../trace/columns.ts';
import { kindName } from '../trace/events.ts';
import type { SourceFacts } from '../trace/manifest.ts';
import type { SourceWriter, TraceWriter } from '../trace/writer.ts';
import type { DeviceScan } from './device-scan.ts';
import type { CpuStats } from './host/findings.ts';
import type { EventDecoder } from './sources/source.ts';

/** How long the loop may run before other things (signals, the progress bar) get their turn. */
const TURN_MS = 50;
/** How often the manifest of the unfinished trace is brought up to date. */
const CHECKPOINT_MS = 2000;

export interface Loop {
  writer: TraceWriter;
  batch: EventBatch;
  signal?: AbortSignal;
  onTurn: () => void;
}

/** Facts of a source before its first event. */
export function newFacts(id: string, format: string, files: string[]): SourceFacts {
  return {
    id,
    format,
    files,
    clock: { name: 'none', unit: 'none', epoch: '0' },
    rows: 0,
    records: 0,
    kinds: {},
    rawNames: {},
    firstTs: 0,
    lastTs: 0,
    lost: 0,
    losses: [],
    strings: [],
    errors: [],
  };
}

/**
 * Decodes one source to its end into its event file; `facts` is kept up to date on the way. Ends early if
 * `signal` says so: gives false then.
 */
export async function importSource(
  decoder: EventDecoder,
  source: SourceWriter,
  scan: DeviceScan,
  loop: Loop,
): Promise<boolean> {
  const { batch, writer, signal } = loop;
  const { facts } = source;
  const before = scan.counts.slice();
  let hasTime = false;
  let more = true;
  let lastTurn = performance.now();
  let lastCheckpoint = lastTurn;
  while (more) {
    batch.clear();
    more = decoder.fill(batch);
    source.append(batch);
    scan.scan(batch);
    hasTime = noteTimes(batch, facts, hasTime);
    const first = facts.rows === 0;
    facts.rows += batch.length;
    const now = performance.now();
    if (now - lastTurn < TURN_MS && !first) continue;
    if (first || now - lastCheckpoint >= CHECKPOINT_MS) {
      fillFacts(facts, decoder, scan, before);
      writer.checkpoint();
      lastCheckpoint = now;
    }
    loop.onTurn();
    await nextTurn();
    lastTurn = performance.now();
    if (signal?.aborted === true) more = false;
  }
  fillFacts(facts, decoder, scan, before);
  writer.checkpoint();
  return signal?.aborted !== true;
}

/** First and last time; rows come in time order, NaN where a row has none. */
function noteTimes({ ts, length }: EventBatch, facts: SourceFacts, hasTime: boolean): boolean {
  let last = length - 1;
  while (last >= 0 && Number.isNaN(ts[last]!)) last--;
  if (last < 0) return hasTime;
  let first = 0;
  while (Number.isNaN(ts[first]!)) first++;
  if (!hasTime) facts.firstTs = ts[first]!;
  facts.lastTs = ts[last]!;
  return true;
}

function fillFacts(facts: SourceFacts, decoder: EventDecoder, scan: DeviceScan, before: Float64Array): void {
  const { clock, report, strings } = decoder;
  facts.clock = { name: clock.name, unit: clock.unit, epoch: clock.epoch.toString() };
  if (clock.hz !== undefined) facts.clock.hz = clock.hz;
  facts.records = report.records;
  facts.rawNames = Object.fromEntries([...report.byName].sort(([a], [b]) => (a < b ? -1 : 1)));
  facts.kinds = {};
  for (let kind = 0; kind < before.length; kind++) {
    const rows = scan.counts[kind]! - before[kind]!;
    if (rows > 0) facts.kinds[kindName(kind)] = rows;
  }
  facts.lost = report.losses.reduce((sum, loss) => sum + Math.max(1, loss.count), 0);
  facts.losses = report.losses.map(({ cpu, count, ts }) => ({
    ...(cpu === undefined ? {} : { cpu }),
    count,
    ts: Number.isFinite(ts) ? ts : null,
  }));
  facts.strings = strings.list;
  facts.errors = report.errors.map(({ code, message }) => ({ code, message }));
}

/**
 * Adds losses that the kernel counted (per_cpu/cpuN/stats) and the pages do not show: pages tell only of
 * losses that a later record follows. Gives a warning for each.
 */
export function addCountedLosses(facts: SourceFacts, stats: readonly CpuStats[]): string[] {
  const warnings: string[] = [];
  for (const { cpu, lost, file } of stats) {
    const shown = facts.losses
      .filter((loss) => loss.cpu === cpu)
      .reduce((sum, { count }) => sum + Math.max(1, count), 0);
    if (lost <= shown) continue;
    facts.losses.push({ cpu, count: lost - shown, ts: null });
    facts.lost += lost - shown;
    warnings.push(
      `${file}: the kernel lost ${lost} events of CPU ${cpu}, ${lost - shown} more than the pages show`,
    );
  }
  return warnings;
}
