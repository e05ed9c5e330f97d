import { K, RUNSTATE } from '../../trace/events.ts';
import { IOREQ_TYPE } from '../../trace/ioreq.ts';
import type { SqlFacts, SqlSource } from './facts.ts';
import { layered } from './layers.ts';
import type { Params } from './params.ts';
import { refuseIf } from './params.ts';
import { sourceRows } from './source-rows.ts';

const { RUNNING, RUNNABLE, OFFLINE } = RUNSTATE;

/** Every column of the hypervisor's side, in the order in which both statements below give them. */
export const XEN_COLUMNS = [
  'vcpu',
  'x_start',
  'x_end',
  'trap',
  'send',
  'offline',
  'wake',
  'running',
  'done',
  'resume',
  'lost_trap',
  'lost_running',
  'lost_done',
  'x_preempted',
  'x_addr',
  'x_data',
  'x_info',
] as const;

/**
 * The hypervisor's side of every ioreq: one row each, equal to passes/xen-waits.ts. x_info is NULL where the content
 * is not known.
 */
export function xenSide(p: Params, facts: SqlFacts, xen: SqlSource): string {
  return facts.hooks.tracePoints ? tracePoints(p, facts, xen) : waits(p, facts, xen);
}

/**
 * Runstates alone: running→offline begins a wait (an island); the first →running ends it, whatever follows up to the
 * next begin is none of its business. Axis time grows with the row, so the first row has the least time.
 */
function waits(p: Params, facts: SqlFacts, xen: SqlSource): string {
  return `SELECT vcpu, offline AS x_start, running AS x_end, nan AS trap, nan AS send, offline,
    if(wake_row <= running_row, ifNull(wake_t, nan), nan) AS wake, running, nan AS done, nan AS resume,
    nan AS lost_trap, nan AS lost_running, nan AS lost_done, nan AS x_preempted,
    toUInt64(0) AS x_addr, toUInt32(0) AS x_data, CAST(NULL, 'Nullable(UInt32)') AS x_info
  FROM (
    SELECT vcpu, wait, minIf(t, begins) AS offline,
      minOrNullIf(row, ends) AS running_row, minIf(t, ends) AS running,
      minOrNullIf(row, wakes) AS wake_row, minOrNullIf(t, wakes) AS wake_t
    FROM (
      SELECT vcpu, row, t, begins, kind = ${K.XEN_RUNSTATE} AND arg1 = ${RUNNING} AS ends,
        kind = ${K.XEN_WAKE} OR arg0 = ${OFFLINE} AS wakes,
        sum(begins) OVER (PARTITION BY vcpu ORDER BY row ROWS UNBOUNDED PRECEDING) AS wait
      FROM (
        SELECT *, kind = ${K.XEN_RUNSTATE} AND arg0 = ${RUNNING} AND arg1 = ${OFFLINE} AS begins
        FROM (${sourceRows(p, 'xen', xen, 'vcpu, arg0, arg1')}
          AND kind IN (${K.XEN_RUNSTATE}, ${K.XEN_WAKE})
          AND domid = ${p.uint('domid', facts.domid ?? 0x10000)} AND vcpu < ${p.uint('vcpus', facts.vcpus)}
          AND (kind = ${K.XEN_WAKE} OR arg1 = ${RUNNING} OR arg0 = ${OFFLINE} OR (arg0 = ${RUNNING} AND arg1 = ${OFFLINE})))
      )
    ) WHERE wait > 0 GROUP BY vcpu, wait
  ) WHERE running_row IS NOT NULL`;
}

const POINTS = `${K.ARM_S2_ABORT}, ${K.ARM_S2_RESUME}, ${K.ARM_IOREQ_SEND}`;
const BEFORE = 'OVER (PARTITION BY vcpu ORDER BY row ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)';

/**
 * With trace points: an abort begins a record, so does a send that no abort precedes. Of what the scheduler said only
 * the rows of a sent ioreq are kept; the few of each record are then one array, looked through in order.
 *
 * `reading` is VcpuStates.preempted: preemption of the vCPU so far, the sum taken row by row as there. It only grows:
 * the reading at the last instant is the largest.
 */
function tracePoints(p: Params, facts: SqlFacts, xen: SqlSource): string {
  const reading = facts.hooks.runstates ? 'reading' : 'nan AS reading';
  return `SELECT vcpu, if(by_done, send, trap) AS x_start, x_end, trap, send, offline, wake, running, done, resume,
    send_reading - if(has_trap, trap_reading, ifNull(mark_before, nan)) AS lost_trap,
    done_reading - greatest(send_reading, if(running_row < done_row, running_reading, send_reading)) AS lost_running,
    if(by_done, nan, end_reading - greatest(send_reading, if(running_row > 0, running_reading, send_reading),
      if(isNaN(done_reading), send_reading, done_reading))) AS lost_done,
    if(has_trap, trap_reading, nan) AS x_preempted, x_addr, x_data, x_info
  FROM (
    SELECT *, max(toNullable(mark)) OVER (PARTITION BY vcpu ORDER BY record ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS mark_before
    FROM (${records(p, facts, xen, reading)})
  ) WHERE sent AND end_row > 0`;
}

/** One row a record, ended or not; rows are counted from 1 here, so that 0 says "not seen". */
function records(p: Params, facts: SqlFacts, xen: SqlSource, reading: string): string {
  const first = (condition: string, of: string): string => `arrayFirst(x -> ${condition}, ${of})`;
  const state = `x.3 = ${K.XEN_RUNSTATE}`;
  const columns = layered(
    grouped(p, facts, xen, reading),
    `rows[1] AS begin, ${first(`x.3 = ${K.ARM_IOREQ_SEND}`, 'rows')} AS s`,
    `begin.3 = ${K.ARM_S2_ABORT} AS has_trap, s.1 > 0 AS sent, begin.6 AS trap_reading, s.2 AS send, s.6 AS send_reading`,
    `if(has_trap, begin.2, nan) AS trap,
      NOT has_trap OR bitAnd(bitShiftRight(x_info, 16), 255) = ${IOREQ_TYPE.INVALIDATE} AS by_done`,
    `${first(`x.3 = if(by_done, ${K.ARM_IOREQ_DONE}, ${K.ARM_S2_RESUME}) AND x.1 > s.1`, 'rows')} AS e`,
    'e.1 AS end_row, e.2 AS x_end, e.6 AS end_reading, if(by_done, nan, e.2) AS resume',
    'arrayFilter(x -> sent AND x.1 > s.1 AND (end_row = 0 OR x.1 <= end_row), rows) AS inside',
    `arrayFilter(x -> x.3 = ${K.ARM_IOREQ_DONE}, inside) AS dones`,
    `if(empty(dones), 18446744073709551615, dones[1].1) AS done_row,
      if(empty(dones), nan, dones[1].2) AS done, if(empty(dones), nan, dones[1].6) AS done_reading`,
    `arrayFilter(x -> ${state} AND x.4 = ${RUNNING} AND x.5 = ${OFFLINE} AND x.1 < done_row, inside) AS begins`,
    'if(empty(begins), toUInt64(0), begins[-1].1) AS last_begin, if(empty(begins), nan, begins[1].2) AS offline',
    `${first(`x.1 > last_begin AND (x.3 = ${K.XEN_WAKE} OR (${state} AND x.4 = ${OFFLINE} AND last_begin > 0))`, 'inside')} AS w,
      ${first(`last_begin > 0 AND x.1 > last_begin AND ${state} AND x.5 = ${RUNNING}`, 'inside')} AS r`,
    `if(w.1 > 0, w.2, nan) AS wake, r.1 AS running_row, if(r.1 > 0, r.2, nan) AS running, r.6 AS running_reading,
      arrayMax(arrayMap(x -> x.6, arrayFilter(x -> x.1 > 0,
        [if(has_trap, begin, s), s, r, if(sent, e, s), if(empty(dones), s, dones[1])]))) AS mark`,
  );
  return `SELECT * FROM (${columns})
    WHERE ${refuseIf('length(dones) > 1', 'an ioreq taken back twice (xen)')}
      AND ${refuseIf('length(begins) > 1 AND running_row = 0', 'a wait that begins twice and does not end (xen)')}
      AND ${refuseIf(
        `NOT has_trap AND arrayExists(x -> x.3 = ${K.ARM_S2_RESUME}, inside)`,
        'a resume within an ioreq without a trap (xen)',
      )}`;
}

/** vcpu, record, rows: (row from 1, t, kind, arg0, arg1, reading) in order, and the content that was sent. */
function grouped(p: Params, facts: SqlFacts, xen: SqlSource, reading: string): string {
  const point = `kind = ${K.ARM_IOREQ_SEND}`;
  return `SELECT vcpu, record, arraySort(x -> x.1, groupArray((row + 1, t, kind, arg0, arg1, reading))) AS rows,
      anyIf(addr, ${point}) AS x_addr, anyIf(toUInt32(bitAnd(data, 4294967295)), ${point}) AS x_data,
      toNullable(anyIf(arg0, ${point})) AS x_info
    FROM (
      SELECT vcpu, row, t, kind, arg0, arg1, addr, data, ${reading}, point_before, main_before,
        sum(kind = ${K.ARM_S2_ABORT} OR (${point} AND ifNull(point_before, 0) != ${K.ARM_S2_ABORT}))
          OVER (PARTITION BY vcpu ORDER BY row ROWS UNBOUNDED PRECEDING) AS record
      FROM (${readings(p, facts, xen)})
    )
    WHERE record > 0 AND (kind >= ${K.ARM_S2_ABORT} OR main_before = ${K.ARM_IOREQ_SEND})
      AND ${refuseIf(
        `${point} AND main_before = ${K.ARM_S2_ABORT} AND point_before = ${K.ARM_IOREQ_DONE}`,
        'an ioreq taken back before it was sent (xen)',
      )}
    GROUP BY vcpu, record`;
}

/** The domain's rows with the vCPU's preemption so far, and the trace points that came before. */
function readings(p: Params, facts: SqlFacts, xen: SqlSource): string {
  return `SELECT *,
      anyLast(if(kind IN (${POINTS}, ${K.ARM_IOREQ_DONE}), toNullable(kind), NULL)) ${BEFORE} AS point_before,
      anyLast(if(kind IN (${POINTS}), toNullable(kind), NULL)) ${BEFORE} AS main_before
    FROM (${preemptionSoFar(`${sourceRows(p, 'xen', xen, 'vcpu, arg0, arg1, addr, data')}
      AND kind IN (${K.XEN_RUNSTATE}, ${K.XEN_WAKE}, ${POINTS}, ${K.ARM_IOREQ_DONE})
      AND domid = ${p.uint('domid', facts.domid ?? 0x10000)} AND vcpu < ${p.uint('vcpus', facts.vcpus)}`)})`;
}

/**
 * `rows` (row, t, kind, vcpu, arg0, arg1 and others, all runstates of the domain among them) with `reading`: for how
 * long the vCPU has been preempted so far, ns. Summed row by row, as VcpuStates does.
 */
export function preemptionSoFar(rows: string): string {
  const edge = `kind = ${K.XEN_RUNSTATE} AND (arg0 = ${RUNNING} OR arg1 = ${RUNNING})`;
  return layered(
    rows,
    `anyLast(if(${edge}, toNullable(if(arg0 = ${RUNNING} AND arg1 = ${RUNNABLE}, t, nan)), NULL)) ${BEFORE} AS since`,
    `if(kind = ${K.XEN_RUNSTATE} AND arg1 = ${RUNNING} AND arg0 != ${RUNNING} AND ifNull(since <= t, 0), t - ifNull(since, 0), 0) AS gain`,
    'sum(gain) OVER (PARTITION BY vcpu ORDER BY row ROWS UNBOUNDED PRECEDING) AS reading',
  );
}
