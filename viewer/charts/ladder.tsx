import type { JSX } from 'preact';
import { useMemo, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { latencyTick } from '../format.ts';
import { ink, useTheme } from '../theme.ts';
import { useWidth } from './canvas.ts';
import { axisLook, LOG_SCALE, usePlot } from './plot.ts';

interface Curve {
  x: number[];
  y: number[];
}

const HEIGHT = 168;
/** Axis of nines: 0 = fastest, 1 = 90 %, 2 = 99 % ... */
const NINES: readonly [number, string][] = [
  [Math.log10(2), '50'],
  [1, '90'],
  [2, '99'],
  [3, '99.9'],
  [4, '99.99'],
  [5, '99.999'],
  [6, '99.9999'],
];

/** Latency at every percentile: the selection, and pale behind it everything. */
export function LadderChart({ all, chosen }: { all: Curve | null; chosen: Curve }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const theme = useTheme();
  const data = useMemo(() => {
    const a: uPlot.AlignedData = [chosen.x, chosen.y];
    return all === null
      ? ([chosen.x, chosen.y, chosen.x.map(() => null)] as uPlot.AlignedData)
      : uPlot.join([a, [all.x, all.y]]);
  }, [all, chosen]);
  const options = (): Omit<uPlot.Options, 'width'> => ({
    height: HEIGHT,
    padding: [8, 12, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: (_u, _lo, hi) => [0, Math.max(1, hi)] },
      y: {
        distr: LOG_SCALE,
        log: 10,
        range: (_u, lo, hi) => [Math.max(1, lo) * 0.8, Math.max(10, hi * 1.25)],
      },
    },
    axes: [
      {
        ...axisLook(),
        size: 34,
        labelGap: 0,
        splits: (u) => NINES.map(([at]) => at).filter((at) => at <= (u.scales['x']?.max ?? 1)),
        values: (_u, splits) =>
          splits.map(
            (at) => `${NINES.find(([x]) => Math.abs(x - at) < 1e-6)?.[1] ?? ''}${at > 1.5 ? '' : '\u202f%'}`,
          ),
        filter: (_u, splits) => splits,
      },
      {
        ...axisLook(),
        size: 58,
        splits: (u) => decades(u.scales['y']?.min ?? 1, u.scales['y']?.max ?? 10),
        values: (_u, splits) => splits.map((v) => latencyTick(v)),
        filter: (_u, splits) => splits,
      },
    ],
    series: [
      {},
      { stroke: ink('accent'), width: 2, points: { show: false }, spanGaps: true },
      { stroke: ink('muted-line'), width: 1.5, dash: [4, 3], points: { show: false }, spanGaps: true },
    ],
  });
  usePlot(box, width, theme, 'ladder', options, data);
  return <div class="plot" ref={box} style={{ height: `${HEIGHT}px` }} aria-hidden="true" />;
}

function decades(lo: number, hi: number): number[] {
  const few = Math.log10(hi / lo) < 2.2;
  const at: number[] = [];
  for (let e = Math.floor(Math.log10(lo)); 10 ** e <= hi; e++) {
    for (const s of few ? [1, 2, 5] : [1]) if (s * 10 ** e >= lo && s * 10 ** e <= hi) at.push(s * 10 ** e);
  }
  return at;
}
