import { K, RUNSTATE, VIRQ_FLAG } from '../../trace/events.ts';
import { DIR_UNKNOWN, SPAN_FLAG, TARGET_UNKNOWN } from '../../trace/spans.ts';
import { injectionPlan } from '../passes/plans.ts';
import type { SqlFacts, SqlSource } from './facts.ts';
import { touches } from './losses.ts';
import { layered } from './layers.ts';
import type { Params } from './params.ts';
import { refuseIf } from './params.ts';
import { sourceRows } from './source-rows.ts';
import { preemptionSoFar } from './xen-side.ts';

const { RUNNING, BLOCKED, OFFLINE } = RUNSTATE;
const PENDED_AGAIN = VIRQ_FLAG.QUEUED | VIRQ_FLAG.ENABLED;
const UP_TO = 'OVER (PARTITION BY spi ORDER BY row ROWS UNBOUNDED PRECEDING)';
const BEFORE = 'OVER (PARTITION BY spi ORDER BY row ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)';

/** Rows of an injection span. Equal to passes/injections.ts. */
export function injections(p: Params, facts: SqlFacts): string | undefined {
  const { xen, hooks } = facts;
  if (xen === null || !hooks.tracePoints || facts.domid === null) return undefined;
  const plan = injectionPlan(hooks);
  const stop = 'if(isNaN(retired), lr, retired)';
  return `SELECT if(isNaN(inject), lr, inject) AS start, lr - inject AS total, device, toUInt32(spi) AS key, vcpu,
      toUInt8(${DIR_UNKNOWN}) AS dir, target AS type,
      toUInt16(if(cut, ${SPAN_FLAG.CUT}, 0) + if(arrayExists(x -> isNaN(x), at), ${SPAN_FLAG.INCOMPLETE}, 0)
        + if(${touches(p, 'xen_lost', facts.xenLosses, 'start', stop)}, ${SPAN_FLAG.LOSS}, 0)) AS flags,
      toUInt32(multiIf(merges > 0, if(isNaN(raises), 0, raises) + merged, isNaN(raises), 1, raises)) AS amount,
      toUInt32(0) AS value, toUInt32(0) AS \`group\`, [${plan.boundaries.map((b) => b.name).join(', ')}] AS at,
      CAST([${plan.preempted.length > 0 ? 'lost_runs' : ''}], 'Array(Float64)') AS preempted
    FROM (${deliveries(p, facts, xen)})`;
}

/**
 * One row a delivery: a list register filled, or pended again at the end of an active one. What is said of it later
 * (seen active, merged into, retired) lies in the rows up to the next delivery of the line, and before the first
 * record that retires it.
 *
 * device, spi, seq (1 the first of its line), filled, inject, runs, lr, active, retired: axis ns; raises: NaN if its
 * injection was not seen; merged: raises of what was merged into it; target: RUNSTATE; lost_runs, reading_lr: ns.
 */
export function deliveries(p: Params, facts: SqlFacts, xen: SqlSource): string {
  const line = (of: string, none: string): string =>
    `leadInFrame(${of}, 1, ${none}) OVER (PARTITION BY spi ORDER BY seq ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING)`;
  const columns = layered(
    `SELECT spi, seq, any(device) AS device, argMin(row_vcpu, row) AS vcpu, argMin(fills, row) AS filled, min(t) AS lr,
        argMin(inject, row) AS inject, argMin(runs, row) AS runs, argMin(target, row) AS target,
        argMin(lost_runs, row) AS lost_runs, argMin(reading, row) AS reading_lr, argMin(took, row) AS raises,
        ifNull(minOrNullIf(row, kind = ${K.ARM_VIRQ_RETIRED}), 18446744073709551615) AS retired_row,
        ifNull(minOrNullIf(t, kind = ${K.ARM_VIRQ_RETIRED}), nan) AS retired,
        arraySort(groupArrayIf((row, t, kind, took), NOT begins AND kind IN (${K.ARM_VIRQ_ACTIVE}, ${K.ARM_VIRQ_MERGED}))) AS later
      FROM (${told(p, facts, xen)}) WHERE seq > 0 GROUP BY spi, seq`,
    `arrayFilter(x -> x.1 < retired_row, later) AS own, isNaN(retired) AS open,
      ${line('toUInt8(1)', '0')} AS next_begins, ${line('filled', '0')} AS next_filled, ${line('lr', 'nan')} AS next_lr`,
    `arrayFilter(x -> x.3 = ${K.ARM_VIRQ_ACTIVE}, own) AS seen_active, arrayFilter(x -> x.3 = ${K.ARM_VIRQ_MERGED}, own) AS merged_rows`,
  );
  return `SELECT device, spi, vcpu, seq, filled, lr, inject, runs, target, lost_runs, reading_lr, raises, retired,
      length(merged_rows) AS merges, arraySum(arrayMap(x -> if(isNaN(x.4), 1, x.4), merged_rows)) AS merged,
      multiIf(NOT filled, nan, notEmpty(seen_active), seen_active[1].2, open AND next_begins AND NOT next_filled, next_lr, nan) AS active,
      open AND (NOT next_begins OR next_filled) AS cut
    FROM (${columns})`;
}

/**
 * The lines' rows; those that take an injection off the queue (filled, pended again, merged) say what it was: the
 * last injection since the one before was taken, with the repetitions that came while it was queued.
 *
 * What the target vCPU did follows from its runstates between the two: where it slept or waited after the injection,
 * it is that and runs with the first →running after it; else its state was the one before its first record.
 */
function told(p: Params, facts: SqlFacts, xen: SqlSource): string {
  const known = facts.hooks.runstates;
  const injected = `kind = ${K.ARM_VIRQ_INJECT} AND bitAnd(arg1, ${VIRQ_FLAG.LEVEL}) != 0`;
  const rows = `SELECT row, t, kind, vcpu AS row_vcpu, arg0 AS spi, toUInt16(place - 1) AS device, reading,
      slept, slept_run, next_state, next_run, ${injected} AS injects, bitAnd(arg1, ${VIRQ_FLAG.QUEUED}) != 0 AS is_queued,
      toUInt8(kind = ${K.ARM_VIRQ_LR}) AS fills, bitAnd(arg1, ${PENDED_AGAIN}) = ${PENDED_AGAIN} AS pends
    FROM (${lines(p, facts, xen)})
    WHERE place > 0 AND ${refuseIf(
      `place > 0 AND ${injected} AND vcpu >= ${p.uint('vcpus', facts.vcpus)}`,
      'an interrupt injected into a vCPU that the trace does not know',
    )}`;
  const columns = layered(
    rows,
    `injects AND is_queued AS repeats, injects AND NOT is_queued AS queues,
      fills OR (kind = ${K.ARM_VIRQ_ACTIVE} AND pends) AS begins`,
    `begins OR kind = ${K.ARM_VIRQ_MERGED} AS takes, countIf(repeats) ${UP_TO} AS queued_again, sum(begins) ${UP_TO} AS seq`,
    `argMaxIf((row + 1, t, row_vcpu, reading, next_state.1, next_state.2, next_run.1, next_run.2, next_run.3), row, queues) ${BEFORE} AS q,
      maxIf(row + 1, takes) ${BEFORE} AS taken_before, maxIf(queued_again, takes OR queues) ${BEFORE} AS anchor_again`,
    'q.1 > taken_before AS had, queued_again - anchor_again AS again',
    `had AND ${known ? 1 : 0} AS followed, slept.1 > q.1 AS by_sleep, q.5 > 0 AND q.5 <= row AS changed,
      q.7 > 0 AND q.7 <= row AS has_run`,
    `toFloat64(multiIf(had, 1 + again, again > 0, again + 1, nan)) AS took, if(had, q.2, nan) AS inject,
      toUInt8(multiIf(NOT followed, ${TARGET_UNKNOWN}, by_sleep, slept.2, changed, q.6, ${RUNNING})) AS target,
      multiIf(NOT followed, nan, by_sleep, if(slept_run.1 > slept.1, slept_run.2, nan),
        changed AND q.6 != ${RUNNING}, if(has_run, q.8, nan), q.2) AS runs,
      multiIf(NOT followed OR q.3 != row_vcpu, nan, by_sleep, reading - slept_run.3,
        changed AND q.6 != ${RUNNING} AND has_run, reading - q.9, reading - q.4) AS lost_runs`,
  );
  return `SELECT * FROM (${columns})
    WHERE ${refuseIf('begins AND had AND q.3 != row_vcpu', 'an interrupt that moves to another vCPU while it is queued')}
      AND ${known ? refuseIf('begins AND had AND by_sleep AND NOT (slept_run.1 > slept.1)', 'an interrupt taken by a vCPU that sleeps') : '1'}`;
}

/**
 * Rows of the devices' lines, each with what its vCPU did last (`slept`: row and state of the last running→blocked or
 * →offline; `slept_run`: its first →running after that, with the preemption until then) and does next.
 */
function lines(p: Params, facts: SqlFacts, xen: SqlSource): string {
  const spis = p.uints(
    'spis',
    facts.devices.map(({ spi }) => spi),
  );
  const rows = `${sourceRows(p, 'xen', xen, 'vcpu, arg0, arg1')}
      AND kind IN (${K.XEN_RUNSTATE}, ${K.ARM_VIRQ_INJECT}, ${K.ARM_VIRQ_LR}, ${K.ARM_VIRQ_ACTIVE}, ${K.ARM_VIRQ_MERGED}, ${K.ARM_VIRQ_RETIRED})
      AND domid = ${p.uint('domid', facts.domid ?? 0x10000)}
      AND (kind = ${K.XEN_RUNSTATE} OR (arg0 > 0 AND has(${spis}, toUInt64(arg0))))`;
  const state = `kind = ${K.XEN_RUNSTATE}`;
  const runs = `${state} AND arg1 = ${RUNNING}`;
  return `SELECT *, if(${state}, 0, indexOf(${spis}, toUInt64(arg0))) AS place,
      argMinIf((row + 1, arg0), row, ${state}) OVER after AS next_state,
      argMinIf((row + 1, t, reading), row, ${runs}) OVER after AS next_run
    FROM (
      SELECT *, argMaxIf((row + 1, arg1), row, sleeps) OVER so_far AS slept,
        argMinIf((row + 1, t, reading), row, ${runs}) OVER since AS slept_run
      FROM (
        SELECT *, ${state} AND arg0 = ${RUNNING} AND arg1 IN (${BLOCKED}, ${OFFLINE}) AS sleeps,
          sum(sleeps) OVER (PARTITION BY vcpu ORDER BY row ROWS UNBOUNDED PRECEDING) AS sleep_number
        FROM (${preemptionSoFar(rows)})
      )
      WINDOW so_far AS (PARTITION BY vcpu ORDER BY row ROWS UNBOUNDED PRECEDING),
        since AS (PARTITION BY vcpu, sleep_number ORDER BY row ROWS UNBOUNDED PRECEDING)
    )
    WINDOW after AS (PARTITION BY vcpu ORDER BY row DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)`;
}
