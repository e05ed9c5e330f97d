import { TraceError } from '../../trace/errors.ts';
import type { HistogramState } from '../stats/histogram.ts';
import { EXACT_LIMIT, Histogram } from '../stats/histogram.ts';
import { SIGNIFICANCE, changePoints, median } from './change-point.ts';
import { chosenTraces } from './chosen-traces.ts';
import { needSchema } from './schema.ts';
import type { Server } from './server.ts';
import { BUCKET_SQL, LEFT_OUT_SQL } from './span-sql.ts';

const FAMILY = { mmio: 'mmio', interrupts: 'interrupt', requests: 'request' } as const;
const FIGURES: Readonly<Record<string, (h: Histogram) => number>> = {
  count: (h) => h.count,
  mean: (h) => h.mean,
  min: (h) => h.min,
  p50: (h) => h.quantile(0.5),
  p90: (h) => h.quantile(0.9),
  p99: (h) => h.quantile(0.99),
  p999: (h) => h.quantile(0.999),
  max: (h) => h.max,
};

/** One figure of a report's total over many recordings. */
export interface Figure {
  readonly family: keyof typeof FAMILY;
  readonly name: string;
}

/** Reads mmio.p99, requests.mean ...; throws E_USAGE. */
export function parseFigure(text: string): Figure {
  const [family = '', name = '', ...more] = text.split('.');
  if (Object.hasOwn(FAMILY, family) && Object.hasOwn(FIGURES, name) && more.length === 0)
    return { family: family as Figure['family'], name };
  const expected = `${Object.keys(FAMILY).join('|')} . ${Object.keys(FIGURES).join('|')}, such as mmio.p99`;
  throw new TraceError('E_USAGE', 'no figure of a report', { expected, got: text });
}

export interface TrendOptions {
  of: Figure;
  /** Label whose values are compared, in the order in which their first recordings were made. */
  by: string;
  /** Only recordings with these labels. */
  labels: Readonly<Record<string, string>>;
  /** Only spans of the device of this name. */
  device?: string;
  tool: string;
}

/** What `trace trend --json` prints. A figure in ns (count: in spans); null: no span to take it from. */
export interface Trend {
  format: 'ioreq-trace-trend';
  version: 1;
  of: string;
  by: string;
  device: string | null;
  groups: TrendGroup[];
  changes: {
    /** Value of the label from which on the level is another. */
    from: string;
    p: number;
    before: number;
    after: number;
    /** after / before - 1; null if before is 0. */
    relative: number | null;
  }[];
  method: string;
  /** Recordings that were chosen but lack the label. */
  unlabelled: number;
}

export interface TrendGroup {
  value: string;
  /** Median of the recordings' figures. */
  median: number | null;
  lowest: number | null;
  highest: number | null;
  recordings: { trace: string; created: string; spans: number; figure: number | null }[];
}

/** A figure of every recording in the database that is chosen, by a label, and where it changed. E_NO_DATA for none. */
export async function trendOnServer(server: Server, options: TrendOptions): Promise<Trend> {
  await needSchema(server, { tool: options.tool });
  const { of, by, labels, device } = options;
  const all = await chosenTraces(server, { by, labels });
  const traces = all.filter((t) => t.labelled);
  if (traces.length === 0) {
    throw new TraceError('E_NO_DATA', `no recording there has label ${by} and what else was asked for`, {
      source: server.place,
    });
  }
  const histograms = await totals(
    server,
    traces.map((t) => t.trace),
    FAMILY[of.family],
    device,
  );
  const groups = new Map<string, TrendGroup>();
  for (const { trace, created, value } of traces) {
    const h = histograms.get(trace);
    const figure = h === undefined || h.count === 0 ? null : FIGURES[of.name]!(h);
    let group = groups.get(value);
    if (group === undefined)
      groups.set(value, (group = { value, median: null, lowest: null, highest: null, recordings: [] }));
    group.recordings.push({ trace, created, spans: h?.count ?? 0, figure });
  }
  const list = [...groups.values()];
  const samples: number[] = [];
  const starts: boolean[] = [];
  const groupAt: string[] = [];
  for (const group of list) {
    const figures = group.recordings.flatMap((r) => (r.figure === null ? [] : [r.figure]));
    if (figures.length > 0) {
      group.median = median(figures);
      group.lowest = Math.min(...figures);
      group.highest = Math.max(...figures);
    }
    figures.forEach((figure, n) => {
      samples.push(figure);
      starts.push(n === 0);
      groupAt.push(group.value);
    });
  }
  return {
    format: 'ioreq-trace-trend',
    version: 1,
    of: `${of.family}.${of.name}`,
    by,
    device: device ?? null,
    groups: list,
    changes: changePoints(samples, starts).map(({ at, p, before, after }) => ({
      from: groupAt[at]!,
      p,
      before,
      after,
      relative: before === 0 ? null : after / before - 1,
    })),
    method:
      `Pettitt's test between groups, over the recordings' figures in order of time; p by permutation, ` +
      `at most ${SIGNIFICANCE}; binary segmentation`,
    unlabelled: all.length - traces.length,
  };
}

/** Distributions of the totals by trace, as the reports have them. */
async function totals(
  server: Server,
  traces: readonly string[],
  family: string,
  device: string | undefined,
): Promise<Map<string, Histogram>> {
  const chosen =
    `SELECT trace, total AS value FROM spans WHERE trace IN {traces:Array(String)} AND family = {family:String} ` +
    `AND ${LEFT_OUT_SQL} = -1` +
    (device === undefined
      ? ''
      : ' AND (trace, device) IN (SELECT trace, n FROM devices FINAL WHERE name = {device:String})');
  const params = { traces, family, ...(device === undefined ? {} : { device }) };
  // On a cluster every shard asks all of them for the devices.
  const settings = { distributed_product_mode: 'allow' } as const;
  const buckets = await server.rows<{
    trace: string;
    b: number;
    n: number;
    s: number;
    lo: number;
    hi: number;
  }>(
    `SELECT toString(trace) AS trace, ${BUCKET_SQL} AS b, toFloat64(count()) AS n, sumKahan(value) AS s, ` +
      `min(value) AS lo, max(value) AS hi FROM (${chosen}) GROUP BY trace, b ORDER BY trace, b`,
    params,
    settings,
  );
  const states = new Map<string, HistogramState & { buckets: [number, number][] }>();
  for (const { trace, b, n, s, lo, hi } of buckets) {
    let state = states.get(trace);
    if (state === undefined)
      states.set(trace, (state = { count: 0, sum: 0, min: Infinity, max: -Infinity, buckets: [] }));
    state.count += n;
    state.sum += s;
    state.min = Math.min(state.min, lo);
    state.max = Math.max(state.max, hi);
    state.buckets.push([b, n]);
  }
  const few = await server.rows<{ trace: string; list: number[] }>(
    `SELECT toString(trace) AS trace, arraySort(groupArray(${EXACT_LIMIT + 1})(value)) AS list FROM (${chosen}) ` +
      `GROUP BY trace HAVING count() <= ${EXACT_LIMIT}`,
    params,
    settings,
  );
  for (const { trace, list } of few) {
    const state = states.get(trace);
    if (state !== undefined) state.values = list;
  }
  return new Map([...states].map(([trace, state]) => [trace, Histogram.restore(state)]));
}
