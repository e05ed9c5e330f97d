import { NO_VCPU } from '../../trace/ids.ts';
import { distribution } from './quantiles.ts';
import type { SpanTable } from './table.ts';

/** One SPI of one device: interrupts or injections of the selection, ns. */
export interface LineFigures {
  device: number;
  spi: number;
  count: number;
  /** Raises that these interrupts stand for. */
  raises: number;
  /** Of them, those that came while the interrupt before them was not handled yet. */
  again: number;
  /** From one interrupt's first instant to the next one's. */
  gap50: number;
  gap99: number;
  /** First instant to the end: an upper bound, for Xen sees it at the vCPU's next exit. NaN if not shown. */
  end50: number;
  end99: number;
}

/** One queue of the selection. */
export interface QueueFigures {
  device: number;
  queue: number;
  count: number;
  /** Requests that were notified, by how many notifies; and interrupted, by how many interrupts. */
  notified: number;
  notifies: number;
  announced: number;
  interrupts: number;
  /** Largest number in flight, and its mean over the time from the first pop to the last use. */
  maxDepth: number;
  meanDepth: number;
  /** Requests a second, and mean time in flight, ns: their product should be the mean depth (Little's law). */
  rate: number;
  inFlight: number;
}

export interface VcpuFigures {
  vcpu: number;
  count: number;
  p50: number;
  p99: number;
  max: number;
}

const columnOf = (t: SpanTable, name: string): Float64Array | undefined =>
  t.at[t.plan.boundaries.findIndex((b) => b.name === name)];

function byPlace(t: SpanTable, rows: Uint32Array): Map<string, number[]> {
  const places = new Map<string, number[]>();
  for (const row of rows) {
    const id = `${t.device[row]!} ${t.key[row]!}`;
    const list = places.get(id);
    if (list === undefined) places.set(id, [row]);
    else list.push(row);
  }
  return places;
}

const quantilesOf = (values: readonly number[], at: readonly number[]): number[] => {
  const known = Float64Array.from(values.filter((v) => !Number.isNaN(v)));
  return distribution(known, known.length, null, at).at;
};

export function lineFigures(t: SpanTable, rows: Uint32Array): LineFigures[] {
  const retired = columnOf(t, 'retired');
  return [...byPlace(t, rows).values()].map((own) => {
    const starts = own.map((i) => t.start[i]!).sort((a, b) => a - b);
    const [gap50, gap99] = quantilesOf(
      starts.slice(1).map((s, k) => s - starts[k]!),
      [0.5, 0.99],
    );
    const [end50, end99] = quantilesOf(
      own.map((i) => (retired?.[i] ?? NaN) - t.start[i]!),
      [0.5, 0.99],
    );
    return {
      device: t.device[own[0]!]!,
      spi: t.key[own[0]!]!,
      count: own.length,
      raises: own.reduce((sum, i) => sum + t.amount[i]!, 0),
      again: own.reduce((sum, i) => sum + Math.max(0, t.amount[i]! - 1), 0),
      gap50: gap50!,
      gap99: gap99!,
      end50: end50!,
      end99: end99!,
    };
  });
}

/**
 * Depth counts every request of the queue that was popped, chosen or not, also those whose end was not seen; rate and
 * time in flight only those that ended. So the two sides of Little's law differ where requests were lost or paired wrongly.
 */
export function queueFigures(t: SpanTable, rows: Uint32Array): QueueFigures[] {
  const popped = columnOf(t, 'popped');
  const used = columnOf(t, 'used');
  const notify = columnOf(t, 'notify');
  const interrupt = columnOf(t, 'interrupt');
  if (popped === undefined || used === undefined) return [];
  return [...byPlace(t, rows).values()].map((own) => {
    let lo = Infinity;
    let hi = -Infinity;
    for (const i of own) {
      lo = Math.min(lo, popped[i]!);
      hi = Math.max(hi, used[i]!);
    }
    let ended = 0;
    let inFlight = 0;
    const steps: [number, number][] = [];
    let area = 0;
    for (let i = 0; i < t.rows; i++) {
      if (t.device[i] !== t.device[own[0]!] || t.key[i] !== t.key[own[0]!]) continue;
      const end = Number.isNaN(used[i]!) ? hi : used[i]!;
      if (!(popped[i]! < hi) || !(end > lo)) continue;
      area += Math.min(hi, end) - Math.max(lo, popped[i]!);
      if (used[i]! <= hi && popped[i]! >= lo) {
        ended++;
        inFlight += used[i]! - popped[i]!;
      }
      steps.push([Math.max(lo, popped[i]!), 1], [end, -1]);
    }
    steps.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    let depth = 0;
    let maxDepth = 0;
    for (const [, change] of steps) maxDepth = Math.max(maxDepth, (depth += change));
    const distinct = (column: Float64Array | undefined): Set<number> =>
      new Set(own.map((i) => column?.[i] ?? NaN).filter((v) => !Number.isNaN(v)));
    const seen = (column: Float64Array | undefined): number =>
      own.filter((i) => !Number.isNaN(column?.[i] ?? NaN)).length;
    return {
      device: t.device[own[0]!]!,
      queue: t.key[own[0]!]!,
      count: own.length,
      notified: seen(notify),
      notifies: distinct(notify).size,
      announced: seen(interrupt),
      interrupts: distinct(interrupt).size,
      maxDepth,
      meanDepth: area / (hi - lo),
      rate: (ended / (hi - lo)) * 1e9,
      inFlight: inFlight / ended,
    };
  });
}

export function vcpuFigures(t: SpanTable, rows: Uint32Array): VcpuFigures[] {
  const by = new Map<number, number[]>();
  for (const row of rows) {
    const vcpu = t.vcpu[row]!;
    if (vcpu === NO_VCPU) continue;
    const list = by.get(vcpu);
    if (list === undefined) by.set(vcpu, [t.total[row]!]);
    else list.push(t.total[row]!);
  }
  return [...by]
    .sort((a, b) => a[0] - b[0])
    .slice(0, 128)
    .map(([vcpu, totals]) => {
      const [p50, p99, max] = quantilesOf(totals, [0.5, 0.99, 1]);
      return { vcpu, count: totals.length, p50: p50!, p99: p99!, max: max! };
    });
}
