import type { Quad, Sample } from './sample.ts';

/** Markdown, and what the default set costs the guest as a share (NaN if it was not measured). */
export function overheadTable(quads: readonly Quad[], reads: number): { text: string; cost: number } {
  const lines = [
    '| recording | guest reads/s without → with | guest keeps | Dom0 CPU a read without → with | recorder on the board | recorder here | events a read |',
    '| --- | --- | --- | --- | --- | --- | --- |',
  ];
  let cost = NaN;
  for (const name of new Set(quads.map(({ set }) => set.name))) {
    const own = quads.filter(({ set }) => set.name === name);
    const ratios = own.map((q) => mean(q.recorded, 'readsPerSecond') / mean(q.without, 'readsPerSecond'));
    const without = own.flatMap((q) => q.without);
    const recorded = own.flatMap((q) => q.recorded);
    const ratio = ratios.reduce((a, b) => a + b, 0) / ratios.length;
    if (name === 'default') cost = 1 - ratio;
    const [low, high] = [Math.min(...ratios), Math.max(...ratios)];
    const events = mean(recorded, 'events') / reads;
    const cells = [
      own[0]!.set.title,
      `${mean(without, 'readsPerSecond').toFixed(0)} → ${mean(recorded, 'readsPerSecond').toFixed(0)}`,
      `${percent(ratio)} (${percent(low)} to ${percent(high)})`,
      `${mean(without, 'dom0UsPerRead').toFixed(0)} → ${mean(recorded, 'dom0UsPerRead').toFixed(0)} µs`,
      percent(mean(recorded, 'recorderBoard')),
      percent(mean(recorded, 'recorderHere')),
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
