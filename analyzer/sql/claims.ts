import { K } from '../../trace/events.ts';
import type { SqlFacts, SqlSource } from './facts.ts';
import { deliveries } from './injections.ts';
import { raises } from './raises.ts';
import type { Params } from './params.ts';
import { refuseIf } from './params.ts';
import { sourceRows } from './source-rows.ts';

/** passes/injections.ts: how much longer than the shortest the way from the sync to the abort record may be. */
const SAME_EXIT_FACTOR = 4;

/** Reads that a stretch goes on for once something was left over: what comes later finds the line settled. */
const AFTER_LEFT = 8;

/**
 * With trace points: every run of a handler with the delivery that it answers (Injections.claim) and the raise that
 * started that one, the last before the injection.
 *
 * A read takes from the line's deliveries up to it; as a rule nothing is left then. Reads and deliveries are cut into
 * stretches behind such reads, and each stretch, mostly of one read, is folded in order. A stretch that leaves
 * something all the same is refused, and so is a read whose answer hangs on the shortest exit seen so far: how far the
 * events were read by then depends on the slices of the local walk.
 */
export function claims(p: Params, facts: SqlFacts, xen: SqlSource, runs: string): string {
  const raised = raises(p, facts);
  const error = p.double('clock_error', facts.clockError);
  const claimed = claimedRuns(p, facts, xen, runs);
  const union =
    raised === undefined
      ? ''
      : `UNION ALL SELECT device, t, toUInt8(0), row, kernel, ${COLUMNS.map((c) => EMPTY[c]).join(', ')} FROM (${raised})`;
  return `SELECT device, status_read, ack, status AS value, handler AS vcpu, target, if(isNaN(inject) OR isNaN(raises), 0, raises) AS amount,
      inject, runs, lr, active, retired, lost_runs,
      if(delivered_to = handler, preempted_read - reading_lr, 0) AS lost_lr, preempted_ack - preempted_read AS lost_read,
      if(from_raise, before.2, nan) AS raise, from_raise AND before.3 = 1 AS by_kernel
    FROM (
      SELECT *, lagInFrame((toUInt8(1) - is_run, at_ns, kernel), 1, (toUInt8(0), nan, toUInt8(0)))
          OVER (PARTITION BY device ORDER BY at_ns, is_run, row ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before,
        before.1 = 1 AND NOT isNaN(inject) AS from_raise
      FROM (
        SELECT device, if(isNaN(inject), -inf, inject + ${error}) AS at_ns, toUInt8(1) AS is_run, toUInt64(run) AS row, toUInt8(0) AS kernel,
          ${COLUMNS.join(', ')}
        FROM (
          SELECT *, maxIf(inject, NOT isNaN(inject)) OVER (PARTITION BY device ORDER BY run ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS latest
          FROM (${claimed})
        )
        WHERE ${refuseIf('inject < latest', 'deliveries of one line that were not injected in order')}
        ${union}
      )
    )
    WHERE is_run AND ${refuseIf('from_raise AND before.2 > seen', 'a raise later than the read that it started')}`;
}

const COLUMNS = [
  'seen',
  'status_read',
  'ack',
  'status',
  'handler',
  'preempted_read',
  'preempted_ack',
  'delivered_to',
  'target',
  'inject',
  'runs',
  'lr',
  'active',
  'retired',
  'lost_runs',
  'reading_lr',
  'raises',
] as const;

const EMPTY: Readonly<Record<(typeof COLUMNS)[number], string>> = {
  seen: 'nan',
  status_read: 'nan',
  ack: 'nan',
  status: 'toUInt32(0)',
  handler: 'toUInt16(0)',
  preempted_read: 'nan',
  preempted_ack: 'nan',
  delivered_to: 'toInt32(-1)',
  target: 'toUInt8(255)',
  inject: 'nan',
  runs: 'nan',
  lr: 'nan',
  active: 'nan',
  retired: 'nan',
  lost_runs: 'nan',
  reading_lr: 'nan',
  raises: 'nan',
};

/** Fields of a delivery as it goes through the fold, and of a run; by number in what follows. */
const DELIVERY = 'lr, filled, vcpu, target, inject, runs, lost_runs, reading_lr, raises, active, retired';
const RUN =
  'run, seen, status_read, ack, status, handler, preempted_read, preempted_ack, gap_then, gap_at_last';

/** One row a run with the fields of the delivery that it answers; NaN if there is none. */
function claimedRuns(p: Params, facts: SqlFacts, xen: SqlSource, runs: string): string {
  const taken = 'ds[got.1]';
  const field = (n: number, none = 'nan'): string => `if(got.1 > 0, ${taken}.${n}, ${none})`;
  return `SELECT device, one.1 AS run, one.2 AS seen, one.3 AS status_read, one.4 AS ack, one.5 AS status, one.6 AS handler,
      one.7 AS preempted_read, one.8 AS preempted_ack,
      ${field(1)} AS lr, if(got.1 > 0, toInt32(${taken}.3), toInt32(-1)) AS delivered_to, ${field(4, 'toUInt8(255)')} AS target,
      ${field(5)} AS inject, ${field(6)} AS runs, ${field(7)} AS lost_runs, ${field(8)} AS reading_lr,
      if(got.1 > 0, arraySum(arrayMap(d -> d.9, arraySlice(ds, got.1, got.2 - got.1 + 1))), nan) AS raises,
      if(got.1 > 0, ds[got.2].10, nan) AS active, if(got.1 > 0, ds[got.2].11, nan) AS retired
    FROM (
      SELECT device, ds, pair.1 AS one, pair.2 AS got
      FROM (
        SELECT device, ds, rs, folded, arrayJoin(arrayZip(rs, folded.2)) AS pair
        FROM (
          SELECT device, rs, ds, lefts, ${fold()} AS folded
          FROM (${stretches(p, facts, xen, runs)})
        )
        WHERE ${refuseIf('lefts[-1] = 0 AND folded.1 <= length(ds)', 'deliveries left over by the read of a handler')}
      )
      WHERE ${refuseIf('got.2 != got.3', 'a line pended again about when its handler read')}
    )`;
}

/**
 * The walk over one stretch: state is the place of the first delivery left and, a read each, (taken, last swallowed,
 * the same with the shortest exit of the whole trace), places from 1, 0 for none.
 *
 * A list register is only filled anew once the delivery before is retired: that one was never read, so of filled
 * ones in a row the last counts. What was pended again at an earlier exit than the read's is swallowed.
 */
function fold(): string {
  const places = 'arrayMap(i -> toUInt64(i), arrayEnumerate(ds))';
  const first = `arrayFirst(i -> i >= acc.1 AND (i = r.1 OR ds[i + 1].2 = 0), ${places})`;
  const last = (gap: string): string =>
    `arrayFirst(i -> i > f AND (i > length(ds) OR NOT (ds[i].2 = 0 AND ds[i].1 < r.2 - ${SAME_EXIT_FACTOR} * ${gap})), arrayPushBack(${places}, toUInt64(length(ds) + 1)))`;
  return `arrayFold((acc, r) -> if(acc.1 > r.1,
      (acc.1, arrayPushBack(acc.2, (toUInt64(0), toUInt64(0), toUInt64(0)))),
      arrayMap(f -> (toUInt64(${last('r.3')}),
          arrayPushBack(acc.2, (f, toUInt64(${last('r.3')} - 1), toUInt64(${last('r.4')} - 1)))), [${first}])[1]),
    arrayMap(r -> (toUInt64(arrayCount(d -> d.1 <= r.2, ds)), r.2, r.9, r.10), rs),
    (toUInt64(1), CAST([], 'Array(Tuple(UInt64, UInt64, UInt64))')))`;
}

/** One row a stretch of reads: rs, ds, and whether each read, with what came since the one before, leaves something. */
function stretches(p: Params, facts: SqlFacts, xen: SqlSource, runs: string): string {
  // Alone with its own deliveries: the first that no filled one follows is taken, then those pended again go along.
  const taken = 'arrayFirst(i -> i = length(own) OR own[i + 1].2 = 0, arrayEnumerate(own))';
  const left = `toUInt8(arrayExists((d, i) -> i > ${taken} AND NOT (d.2 = 0 AND d.1 < r.2 - ${SAME_EXIT_FACTOR} * r.9), own, arrayEnumerate(own)))`;
  return `SELECT device, stretch, arrayMap(x -> x.2, rows) AS rs, arrayFlatten(arrayMap(x -> x.3, rows)) AS ds, arrayMap(x -> x.4, rows) AS lefts
    FROM (
      SELECT device, stretch, arraySort(x -> x.1, groupArray((number, r, own, leaves))) AS rows
      FROM (
        SELECT *, sum(leaves_before = 0) OVER (PARTITION BY device ORDER BY number ROWS UNBOUNDED PRECEDING) AS stretch
        FROM (
          SELECT *, max(leaves) OVER (PARTITION BY device ORDER BY number ROWS BETWEEN ${AFTER_LEFT} PRECEDING AND 1 PRECEDING) AS leaves_before
          FROM (
            SELECT device, number, rows_read[1] AS r, own, ${left} AS leaves
            FROM (
              SELECT device, number, groupArrayIf(told, is_read) AS rows_read,
                arrayMap(x -> x.2, arraySort(x -> x.1, groupArrayIf((seq, delivered), NOT is_read))) AS own
              FROM (
                SELECT *, ifNull(sum(is_read) OVER (PARTITION BY device ORDER BY at_ns, is_read, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) + 1 AS number
                FROM (
                  ${reads(p, facts, xen, runs)}
                  UNION ALL
                  SELECT device, lr, toUInt8(0), toUInt64(seq), ${EMPTY_RUN}, (${DELIVERY})
                  FROM (${deliveries(p, facts, xen)})
                )
              ) GROUP BY device, number HAVING notEmpty(rows_read)
            )
          )
        )
      ) GROUP BY device, stretch
    )`;
}

const EMPTY_RUN = '(toUInt64(0), nan, nan, nan, toUInt32(0), toUInt16(0), nan, nan, nan, nan)';
const EMPTY_DELIVERY = '(nan, toUInt8(0), toUInt16(0), toUInt8(255), nan, nan, nan, nan, nan, nan, nan)';

/** The runs with the shortest exit seen by the time of their reads, and that of the whole trace. */
function reads(p: Params, facts: SqlFacts, xen: SqlSource, runs: string): string {
  return `SELECT device, seen AS at_ns, toUInt8(1) AS is_read, toUInt64(run) AS seq, (${RUN}) AS told, ${EMPTY_DELIVERY} AS delivered
    FROM (
      WITH (${exits(p, facts, xen)}) AS minima
      SELECT * REPLACE (toUInt64(run) AS run),
        arrayMin(arrayPushBack(arrayMap(x -> x.2, arrayFilter(x -> x.1 <= seen, minima)), inf)) AS gap_then,
        arrayMin(arrayPushBack(arrayMap(x -> x.2, minima), inf)) AS gap_at_last
      FROM (${runs})
    )`;
}

/** Where the shortest time from a record of the list registers' sync to the abort of that exit became shorter: (t, ns). */
function exits(p: Params, facts: SqlFacts, xen: SqlSource): string {
  return `SELECT groupArray((t, gap)) FROM (
      SELECT t, gap, min(gap) OVER (ORDER BY row ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS least, row_number() OVER (ORDER BY row) AS n
      FROM (
        SELECT row, t, kind, t - before.2 AS gap, before.1 AS kind_before
        FROM (
          SELECT *, lagInFrame((kind, t), 1, (toUInt16(0), toFloat64(0))) OVER (PARTITION BY vcpu ORDER BY row ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before
          FROM (${sourceRows(p, 'xen', xen, 'vcpu')} AND kind IN (${K.ARM_S2_ABORT}, ${K.ARM_VIRQ_ACTIVE})
            AND domid = ${p.uint('domid', facts.domid ?? 0x10000)} AND vcpu < if(kind = ${K.ARM_S2_ABORT}, ${p.uint('vcpus', facts.vcpus)}, 128))
        )
        WHERE kind = ${K.ARM_S2_ABORT} AND kind_before = ${K.ARM_VIRQ_ACTIVE}
      )
    ) WHERE n = 1 OR gap < least`;
}
