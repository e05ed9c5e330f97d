import { K } from '../../trace/events.ts';
import { IOREQ_STATE } from '../../trace/ioreq.ts';
import type { SqlFacts, SqlSource } from './facts.ts';
import type { Params } from './params.ts';
import { refuseIf } from './params.ts';
import { EVENTS, sourceRows, TRACE } from './source-rows.ts';

const IRQ = K.DOM0_EVTCHN_IRQ;
const READ = K.DOM0_EVTCHN_READ;
const WRITE = K.DOM0_EVTCHN_WRITE;
const NOTIFY = K.DOM0_EVTCHN_NOTIFY;
const SLOT = K.DOM0_IOREQ_ANSWERED;
const SERVICE = K.DM_IOREQ;
const VALUE = K.DM_IOREQ_READ_DONE;

const UP_TO = 'ROWS UNBOUNDED PRECEDING';
const BEFORE = 'ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING';
const NO_LANE = 0xffff;

/** Every column of Dom0's side. `seq` grows as the device model takes ioreqs up; d_info is NULL if not known. */
export const DOM0_COLUMNS = [
  'vcpu',
  'd_start',
  'd_end',
  'dom0_irq',
  'dm_read',
  'service',
  'answer',
  'seq',
  'd_addr',
  'd_data',
  'd_info',
] as const;

/**
 * Dom0's side of every ioreq, one row an answer, equal to passes/dom0-ioreqs.ts for one device model with one thread
 * and one port a vCPU (`lane`: the vCPU), and without kicks answered in the kernel: index.ts refuses the others.
 *
 * A record of a lane begins with the port's interrupt, or when the one before is given out: at the thread's next
 * read of its event channel, or the next unmask or answer on the lane. What the thread's own trace tells of goes to
 * the lane it has unmasked and not answered; what comes before any unmask waits for the next answer.
 */
export function dom0Side(p: Params, facts: SqlFacts, dom0: SqlSource): string {
  const log = facts.log;
  const record = `
    SELECT lane AS vcpu, answer, answer_row, dom0_irq, dm_read, seq,
      ifNull(lane_service, ifNull(pending_service, nan)) AS own_service,
      lane_service IS NULL AND pending_service IS NOT NULL AS by_pending,
      if(by_pending, pending_content, content) AS told, told.1 > 0 AS is_told,
      told.2 AS own_addr, if(is_told AND value.1 > told.1, value.2, told.3) AS own_data, if(is_told, toNullable(told.4), NULL) AS own_info
    FROM (${records(p, facts, dom0)})`;
  if (log === null) {
    return `SELECT vcpu, multiIf(NOT isNaN(dom0_irq), dom0_irq, NOT isNaN(dm_read), dm_read, answer) AS d_start, answer AS d_end,
      dom0_irq, dm_read, own_service AS service, answer, seq, own_addr AS d_addr, own_data AS d_data, own_info AS d_info
    FROM (${record})`;
  }
  // The n-th ioreq of the log is the n-th answer (passes/log-contents.ts).
  const stamp =
    log.line === null
      ? 'nan'
      : `log_ts * ${p.double('log_scale', log.line[0])} + ${p.double('log_shift', log.line[1])}`;
  const pick = (own: string, theirs: string): string =>
    log.timesOnly ? own : `if(log_number > 0, ${theirs}, ${own})`;
  return `SELECT vcpu, multiIf(NOT isNaN(dom0_irq), dom0_irq, NOT isNaN(dm_read), dm_read, answer) AS d_start, answer AS d_end,
      dom0_irq, dm_read, ${stamp} AS stamp, if(isNaN(dm_read), dom0_irq, dm_read) AS taken,
      if(isNaN(own_service) AND log_number > 0 AND NOT isNaN(stamp),
        least(answer, if(isNaN(taken), stamp, greatest(taken, stamp))), own_service) AS service,
      answer, seq, ${pick('own_addr', 'log_addr')} AS d_addr, ${pick('own_data', 'log_data')} AS d_data,
      ${pick('own_info', 'toNullable(log_info)')} AS d_info
    FROM (SELECT *, row_number() OVER (ORDER BY answer_row) AS number FROM (${record})) AS answers
    LEFT JOIN (
      SELECT toUInt64(ioreq) AS log_number, anyIf(ts, kind = ${SERVICE}) AS log_ts, anyIf(addr, kind = ${SERVICE}) AS log_addr,
        argMax(toUInt32(bitAnd(data, 4294967295)), row) AS log_data, anyIf(arg0, kind = ${SERVICE}) AS log_info
      FROM (
        SELECT row, ts, kind, addr, data, arg0, sum(kind = ${SERVICE}) OVER (ORDER BY row ${UP_TO}) AS ioreq
        FROM ${EVENTS}
        WHERE trace = ${TRACE} AND source = ${p.text('log_source', log.id)} AND kind IN (${SERVICE}, ${VALUE})
      ) WHERE ioreq > 0 GROUP BY ioreq
    ) AS logged ON number = log_number`;
}

/** One row a record of a lane that was answered. */
function records(p: Params, facts: SqlFacts, dom0: SqlSource): string {
  return `SELECT lane, record, anyIf(t, kind = ${NOTIFY}) AS answer, anyIf(row, kind = ${NOTIFY}) AS answer_row,
      ifNull(minOrNullIf(t, kind = ${IRQ}), nan) AS dom0_irq,
      ifNull(argMinOrNullIf(read_at, row, takes AND NOT isNaN(read_at)), nan) AS dm_read,
      maxIf(take, takes) AS seq, minOrNullIf(t, kind = ${SERVICE}) AS lane_service,
      anyIf(pending_service, kind = ${NOTIFY}) AS pending_service,
      argMaxIf((row + 1, c_addr, c_value, c_info), row, kind IN (${SERVICE}, ${SLOT})) AS content,
      argMaxIf((row + 1, c_addr, c_value, c_info), row, kind IN (${SLOT}, ${NOTIFY})) AS pending_content,
      argMaxIf((row + 1, c_value), row, kind = ${VALUE}) AS value
    FROM (${laneRows(p, facts, dom0)})
    GROUP BY lane, record
    HAVING countIf(kind = ${NOTIFY}) > 0
      AND ${refuseIf(
        `maxIf(t, kind = ${SLOT}) >= answer + 2e6`,
        'a slot of the ioreq page fetched long after its answer (dom0)',
      )}`;
}

/**
 * When each ioreq's content became known, what Requests is told of: row, seq (0: none), address, value. `row` is that
 * of the thread's own trace, or of the answer for what it told of before its port was known.
 */
export function tells(p: Params, facts: SqlFacts, dom0: SqlSource): string {
  const sql = `SELECT toUInt64(if(by_thread, own.1, answered.1) - 1) AS row, seq, if(by_thread, own.2, answered.2) AS address,
      if(by_thread, own.3, answered.3) AS value
    FROM (
      SELECT lane, record, argMinIf((row + 1, c_addr, c_value), row, kind = ${SERVICE}) AS own, own.1 > 0 AS by_thread,
        argMinIf((row + 1, c_addr, c_value), row, kind = ${NOTIFY} AND pending_service IS NOT NULL) AS answered,
        maxIf(take, takes) AS seq, countIf(takes) AS taken, countIf(kind = ${SLOT}) AS slots, countIf(kind = ${NOTIFY}) AS answers
      FROM (${laneRows(p, facts, dom0)}) GROUP BY lane, record
    )
    WHERE (by_thread OR answered.1 > 0)
      AND ${refuseIf('taken > 1', 'an ioreq that the device model takes up twice (dom0)')}
      AND ${refuseIf('NOT by_thread AND answered.1 = 0 AND slots > 0 AND answers > 0', 'ioreqs that only the ioreq page tells of')}`;
  return p.shared('ioreq_tells', sql);
}

/** The thread's rows with the running number of the record of their lane. */
function laneRows(p: Params, facts: SqlFacts, dom0: SqlSource): string {
  const sql = `SELECT *, sum(breaks) OVER (PARTITION BY lane ORDER BY row ${UP_TO}) AS record
      FROM (
        SELECT *,
          kind = ${IRQ} OR (lagInFrame(toUInt8(answered), 1, 0) OVER (PARTITION BY lane ORDER BY row ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
            AND (kind IN (${WRITE}, ${NOTIFY})
              OR last_read > lagInFrame(row + 1, 1, 0) OVER (PARTITION BY lane ORDER BY row ROWS BETWEEN 1 PRECEDING AND CURRENT ROW))) AS breaks
        FROM (
          SELECT *,
            maxIf(row + 1, kind = ${NOTIFY}) OVER (PARTITION BY lane ORDER BY row ${UP_TO}) AS last_answer,
            greatest(maxIf(row + 1, kind IN (${IRQ}, ${WRITE})) OVER (PARTITION BY lane ORDER BY row ${UP_TO}), last_read) AS last_begin,
            last_answer > last_begin AS answered
          FROM (${thread(p, facts, dom0)})
          WHERE lane != ${NO_LANE}
        )
      )`;
  return p.shared('lane_rows', sql);
}

/**
 * What the device model's thread did, each row with its lane. `last_read`: row + 1 of its last read of the event
 * channel. An answer takes with it what the thread's trace told of before it had unmasked a port.
 */
function thread(p: Params, facts: SqlFacts, dom0: SqlSource): string {
  const ports = p.uints(
    'ports',
    facts.ports.map(([port]) => port),
  );
  const vcpus = p.uints(
    'port_vcpus',
    facts.ports.map(([, vcpu]) => vcpu),
  );
  const pids = p.ints('pids', facts.pids);
  const pend = (kinds: string): string => `kind IN (${kinds}) AND lane = ${NO_LANE}`;
  const work = `kind IN (${READ}, ${WRITE}, ${NOTIFY}, ${SERVICE}, ${VALUE})`;
  return `SELECT row, t, kind, lane, last_read, takes, take,
      if(takes AND last_read > last_take_before, last_read_t, nan) AS read_at,
      if(kind = ${NOTIFY}, minOrNullIf(t, ${pend(`${SERVICE}`)}) OVER pass, NULL) AS pending_service,
      if(kind = ${NOTIFY}, argMaxIf((addr, value, info), row, ${pend(`${SERVICE}`)}) OVER pass, (addr, value, info)) AS here,
      if(kind = ${NOTIFY}, argMaxIf((row, value), row, ${pend(`${SERVICE}, ${VALUE}`)}) OVER pass, (row, value)) AS here_value,
      here.1 AS c_addr, here_value.2 AS c_value, here.3 AS c_info
    FROM (
      SELECT *, maxIf(row + 1, takes) OVER (ORDER BY row ${BEFORE}) AS last_take_before,
        countIf(takes) OVER (ORDER BY row ${UP_TO}) AS take,
        maxIf(t, kind = ${READ}) OVER (ORDER BY row ${UP_TO}) AS last_read_t
      FROM (
        SELECT row, t, kind, addr, value, info,
          maxIf(row + 1, kind = ${READ}) OVER (ORDER BY row ${UP_TO}) AS last_read,
          countIf(kind = ${NOTIFY}) OVER (ORDER BY row ${BEFORE}) AS answers_before,
          anyLast(if(kind IN (${WRITE}, ${NOTIFY}), toNullable(if(kind = ${WRITE}, port_lane, ${NO_LANE})), NULL))
            OVER (ORDER BY row ${BEFORE}) AS working,
          if(kind IN (${SERVICE}, ${VALUE}), ifNull(working, ${NO_LANE}), if(kind = ${READ}, ${NO_LANE}, port_lane)) AS lane,
          kind = ${WRITE} OR (kind = ${NOTIFY} AND ifNull(working, ${NO_LANE}) != port_lane) AS takes
        FROM (
          SELECT row, t, kind, addr, toUInt32(bitAnd(data, 4294967295)) AS value, arg0 AS info,
            toUInt32(if(kind IN (${IRQ}, ${WRITE}, ${NOTIFY}, ${SLOT}),
              transform(toUInt64(if(kind = ${SLOT}, arg2, arg1)), ${ports}, ${vcpus}, toUInt64(${NO_LANE})), ${NO_LANE})) AS port_lane
          FROM (${sourceRows(p, 'dom0', dom0, 'pid, vcpu, addr, data, arg0, arg1, arg2')}
            AND kind IN (${IRQ}, ${READ}, ${WRITE}, ${NOTIFY}, ${SLOT}, ${SERVICE}, ${VALUE})
            AND (NOT (${work}) OR has(${pids}, pid)))
          WHERE (kind IN (${READ}, ${SERVICE}, ${VALUE}) OR port_lane != ${NO_LANE})
            AND (kind != ${SLOT} OR (vcpu = port_lane AND bitAnd(bitShiftRight(arg0, 10), 15) = ${IOREQ_STATE.RESP_READY}))
        )
      )
    )
    WINDOW pass AS (PARTITION BY answers_before)`;
}
