import type { SpanFamily, SpanPlan } from '../../trace/spans.ts';
import { NO_DEVICE } from '../../trace/spans.ts';
import type { SpanPlans } from '../analyze.ts';
import type { Collected } from '../report/build.ts';
import { MAX_GROUPS } from '../stats/grouped-stats.ts';
import type { FamilyFigures } from '../stats/family-stats.ts';
import { LEFT_OUT } from '../stats/family-stats.ts';
import type { GroupKey } from '../stats/group-key.ts';
import type { HistogramState } from '../stats/histogram.ts';
import { EXACT_LIMIT, Histogram } from '../stats/histogram.ts';
import type { SpanRecord } from '../stats/slowest.ts';
import type { Server } from './server.ts';
import { BUCKET_SQL, LEFT_OUT_SQL, MEASURE, compositeSql, measuresSql, stageSql } from './span-sql.ts';

/** Which spans of the database. */
export interface SpanChoice {
  trace: string;
  /** An SQL expression of the user's over the columns of table spans, and `device_name`. */
  where?: string;
  /** Names of the trace's devices, for `device_name`. */
  devices: readonly string[];
}

/** Counts the spans of a trace on the server: what the analyzer's own collector counts, span by span, here. */
export async function countSpans(
  server: Server,
  choice: SpanChoice,
  plans: SpanPlans,
  by: readonly GroupKey[],
  slowest: number,
): Promise<Collected> {
  const stats = new Map<SpanFamily, FamilyFigures>();
  const groups = new Map<SpanFamily, ReadonlyMap<number, FamilyFigures>>();
  const targets = new Map<SpanFamily, ReadonlyMap<number, FamilyFigures>>();
  const perDevice = new Map<SpanFamily, Float64Array>();
  const slow = new Map<SpanFamily, { plan: SpanPlan; list: SpanRecord[] }>();
  let groupsCut = false;
  for (const plan of Object.values(plans) as (SpanPlan | undefined)[]) {
    if (plan === undefined) continue;
    const { family } = plan;
    const whole = await figures(server, choice, plan, 'toInt64(0)');
    stats.set(family, whole.get(0) ?? emptyFigures(plan));
    if (plan.boundaries.some((b) => b.name === 'runs'))
      targets.set(family, await figures(server, choice, plan, 'toInt64(type)'));
    if (by.length > 0) {
      const found = await figures(server, choice, plan, compositeSql(family, by));
      found.delete(-1);
      groupsCut ||= found.size > MAX_GROUPS;
      groups.set(family, new Map([...found].slice(0, MAX_GROUPS)));
    }
    perDevice.set(family, await spansByDevice(server, choice, family));
    slow.set(family, { plan, list: await slowestSpans(server, choice, plan, slowest) });
  }
  return { stats, slowest: slow, groups, perDevice, targets, groupsCut };
}

/** Spans of one family that are chosen, as a table to select from. */
export function chosenSpans({ where }: SpanChoice): string {
  const own = 'SELECT * FROM spans WHERE trace = {trace:String} AND family = {family:String}';
  if (where === undefined) return `(${own})`;
  return `(SELECT * FROM (SELECT *, {devices:Array(String)}[device + 1] AS device_name FROM (${own})) WHERE (${where}\n))`;
}

export function choiceParams({ trace, devices }: SpanChoice, family: SpanFamily): Record<string, unknown> {
  return { trace, family, devices };
}

/** A WHERE of the user's may read, and nothing else. */
const READ_ONLY = { readonly: '2' } as const;

interface BucketRow {
  g: number;
  m: number;
  b: number;
  n: number;
  s: number;
  lo: number;
  hi: number;
}

/** Figures by the value of an SQL expression over the columns of a span. */
async function figures(
  server: Server,
  choice: SpanChoice,
  plan: SpanPlan,
  group: string,
): Promise<Map<number, FamilyFigures>> {
  const params = choiceParams(choice, plan.family);
  const values =
    `SELECT g, x.1 AS m, x.2 AS value FROM (SELECT ${group} AS g, ${measuresSql(plan)} ` +
    `FROM ${chosenSpans(choice)} WHERE ${LEFT_OUT_SQL} = -1) ARRAY JOIN measures AS x`;
  const buckets = await server.rows<BucketRow>(
    `SELECT g, m, ${BUCKET_SQL} AS b, toFloat64(count()) AS n, sumKahan(value) AS s, min(value) AS lo, max(value) AS hi ` +
      `FROM (${values}) GROUP BY g, m, b ORDER BY g, m, b`,
    params,
    READ_ONLY,
  );
  const states = new Map<string, { g: number; m: number; state: BucketState }>();
  for (const { g, m, b, n, s, lo, hi } of buckets) {
    const key = `${g} ${m}`;
    let entry = states.get(key);
    if (entry === undefined) {
      entry = { g, m, state: { count: 0, sum: 0, min: Infinity, max: -Infinity, buckets: [] } };
      states.set(key, entry);
    }
    const { state } = entry;
    state.count += n;
    state.sum += s;
    state.min = Math.min(state.min, lo);
    state.max = Math.max(state.max, hi);
    state.buckets.push([b, n]);
  }
  if ([...states.values()].some(({ state }) => state.count <= EXACT_LIMIT)) {
    const few = await server.rows<{ g: number; m: number; list: number[] }>(
      `SELECT g, m, arraySort(groupArray(${EXACT_LIMIT + 1})(value)) AS list FROM (${values}) ` +
        `GROUP BY g, m HAVING count() <= ${EXACT_LIMIT}`,
      params,
      READ_ONLY,
    );
    for (const { g, m, list } of few) {
      const entry = states.get(`${g} ${m}`);
      if (entry !== undefined) (entry.state as HistogramState).values = list;
    }
  }
  const all = new Map<number, FigureParts>();
  const of = (g: number): FigureParts => {
    let found = all.get(g);
    if (found === undefined) all.set(g, (found = { histograms: new Map(), leftOut: [], amount: 0 }));
    return found;
  };
  for (const { g, m, state } of states.values()) of(g).histograms.set(m, Histogram.restore(state));
  const counts = await server.rows<{ g: number; why: number; n: number; amount: number }>(
    `SELECT ${group} AS g, ${LEFT_OUT_SQL} AS why, toFloat64(count()) AS n, toFloat64(sum(amount)) AS amount ` +
      `FROM ${chosenSpans(choice)} GROUP BY g, why`,
    params,
    READ_ONLY,
  );
  for (const { g, why, n, amount } of counts) {
    if (why < 0) of(g).amount = amount;
    else of(g).leftOut[why] = n;
  }
  return new Map([...all].map(([g, parts]) => [g, figuresOf(plan, parts)]));
}

interface BucketState extends HistogramState {
  buckets: [number, number][];
}

interface FigureParts {
  histograms: Map<number, Histogram>;
  leftOut: number[];
  amount: number;
}

function figuresOf(plan: SpanPlan, { histograms, leftOut, amount }: FigureParts): FamilyFigures {
  const of = (measure: number): Histogram => histograms.get(measure) ?? new Histogram();
  return {
    plan,
    total: of(MEASURE.TOTAL),
    staged: of(MEASURE.STAGED),
    inKernel: of(MEASURE.IN_KERNEL),
    preempted: of(MEASURE.PREEMPTED),
    stages: plan.stages.map((_, k) => of(MEASURE.FIRST_STAGE + k)),
    leftOut: LEFT_OUT.map((_, why) => leftOut[why] ?? 0),
    amount,
  };
}

function emptyFigures(plan: SpanPlan): FamilyFigures {
  return figuresOf(plan, { histograms: new Map(), leftOut: [], amount: 0 });
}

async function spansByDevice(server: Server, choice: SpanChoice, family: SpanFamily): Promise<Float64Array> {
  const counts = new Float64Array(choice.devices.length);
  const rows = await server.rows<{ device: number; n: number }>(
    `SELECT device, toFloat64(count()) AS n FROM ${chosenSpans(choice)} WHERE device != ${NO_DEVICE} GROUP BY device`,
    choiceParams(choice, family),
    READ_ONLY,
  );
  for (const { device, n } of rows) if (device < counts.length) counts[device] = n;
  return counts;
}

type SlowRow = Omit<SpanRecord, 'at' | 'stages'> & { at: (number | string)[]; st: (number | string)[] };

async function slowestSpans(
  server: Server,
  choice: SpanChoice,
  plan: SpanPlan,
  limit: number,
): Promise<SpanRecord[]> {
  if (limit === 0) return [];
  const stages = stageSql(plan);
  const rows = await server.rows<SlowRow>(
    'SELECT start, total, device, key, vcpu, dir, type, flags, amount, value, at, ' +
      `[${stages.length === 0 ? 'nan' : stages.join(', ')}] AS st FROM ${chosenSpans(choice)} ` +
      `WHERE ${LEFT_OUT_SQL} = -1 ORDER BY total DESC, start, vcpu, key LIMIT {limit:UInt32}`,
    { ...choiceParams(choice, plan.family), limit },
    READ_ONLY,
  );
  return rows.map(({ at, st, ...row }) => ({
    ...row,
    at: at.map(Number),
    stages: st.slice(0, plan.stages.length).map(Number),
  }));
}
