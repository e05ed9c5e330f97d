import type { Quad, Sample } from './sample.ts';

/** What the default set costs the guest, as shares of a read's time without recording; NaN if it was not measured. */
export interface Cost {
  /** Everything on one core: what the guest's own clock shows on a machine whose CPUs take turns. */
  oneCore: number;
  /**
   * Without the CPU time of the recorder's own processes, which a board with a core to spare runs there: the probes
   * and records that stand in the way of a request.
   */
  inTheWay: number;
}

/** Markdown, and the cost of the default set. */
export function overheadTable(quads: readonly Quad[], reads: number): { text: string; cost: Cost } {
  const lines = [
    '| recording | guest reads/s without → with | guest keeps | cost of a read | of it the recorder | in the way | Dom0 CPU a read without → with | recorder on the board | events a read |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
  ];
  let cost: Cost = { oneCore: NaN, inTheWay: NaN };
  for (const name of new Set(quads.map(({ set }) => set.name))) {
    const own = quads.filter(({ set }) => set.name === name);
    const ratios = own.map((q) => mean(q.recorded, 'readsPerSecond') / mean(q.without, 'readsPerSecond'));
    const without = own.flatMap((q) => q.without);
    const recorded = own.flatMap((q) => q.recorded);
    const ratio = ratios.reduce((a, b) => a + b, 0) / ratios.length;
    // us of the guest's clock.
    const before = 1e6 / mean(without, 'readsPerSecond');
    const after = 1e6 / mean(recorded, 'readsPerSecond');
    const recorder = mean(recorded, 'recorderBoard') * after;
    const inTheWay = (after - before - recorder) / before;
    if (name === 'default') cost = { oneCore: after / before - 1, inTheWay };
    const [low, high] = [Math.min(...ratios), Math.max(...ratios)];
    const events = mean(recorded, 'events') / reads;
    const cells = [
      own[0]!.set.title,
      `${mean(without, 'readsPerSecond').toFixed(0)} → ${mean(recorded, 'readsPerSecond').toFixed(0)}`,
      `${percent(ratio)} (${percent(low)} to ${percent(high)})`,
      `${(after - before).toFixed(0)} µs`,
      `${recorder.toFixed(0)} µs`,
      percent(inTheWay),
      `${mean(without, 'dom0UsPerRead').toFixed(0)} → ${mean(recorded, 'dom0UsPerRead').toFixed(0)} µs`,
      percent(mean(recorded, 'recorderBoard')),
      events === 0 ? '-' : events.toFixed(1),
    ];
    lines.push(`| ${cells.join(' | ')} |`);
  }
  return { text: lines.join('\n'), cost };
}

function mean(samples: readonly Sample[], what: keyof Sample): number {
  return samples.reduce((sum, sample) => sum + sample[what], 0) / samples.length;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
