import type { RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { FONT, ink } from '../theme.ts';

/** uPlot in a component: made anew when size, theme or `shape` change, else only given new data. */
export function usePlot(
  box: RefObject<HTMLElement | null>,
  width: number,
  theme: string,
  shape: string,
  options: () => Omit<uPlot.Options, 'width'>,
  data: uPlot.AlignedData,
): void {
  const plot = useRef<uPlot | null>(null);
  useEffect(() => {
    if (box.current === null || width < 40) return undefined;
    const made = new uPlot({ ...options(), width }, data, box.current);
    plot.current = made;
    return () => {
      made.destroy();
      plot.current = null;
    };
  }, [width, theme, shape]);
  useEffect(() => {
    plot.current?.setData(data);
  }, [data]);
}

/** uPlot's logarithmic scale: its enum is a declaration only. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- 3 is uPlot.Scale.Distr.Log, which no module exports
export const LOG_SCALE = 3 as uPlot.Scale.Distr;

export function axisLook(): Pick<uPlot.Axis, 'stroke' | 'grid' | 'ticks' | 'font'> {
  return {
    stroke: ink('text-2'),
    font: FONT,
    grid: { stroke: ink('grid'), width: 1 },
    ticks: { stroke: ink('grid'), width: 1, size: 4 },
  };
}
