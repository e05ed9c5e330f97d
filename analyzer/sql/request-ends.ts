import { K } from '../../trace/events.ts';
import { REG_INTERRUPT_STATUS } from '../../trace/virtio-mmio.ts';
import { tells } from './dom0-side.ts';
import type { SqlFacts, SqlSource } from './facts.ts';
import { raises } from './raises.ts';
import type { Params } from './params.ts';
import { refuseIf } from './params.ts';
import { NEVER, queueRows, shows } from './request-rows.ts';
import { sourceRows } from './source-rows.ts';

/**
 * passes/requests.ts gives all used requests out when more than 4096 wait for an interrupt. So many of those that are
 * announced in the end, and so many that never are, cannot make it do that.
 */
const SURE_UNINTERRUPTED = 2048;

/**
 * The requests of `rows` with the interrupt that announced each: raise_row (0: none), raise_t, raise_number.
 *
 * A used request is announced by the device model's next notify of its queue, and then ends with the next raise of
 * its line; unless the guest's handler runs before (it reads InterruptStatus), or a notify finds the queue idle: then
 * none was its own. Where no notifies are traced, the next raise is it.
 */
export function ended(p: Params, facts: SqlFacts, dom0: SqlSource, started: string): string {
  const rows = p.shared('request_rows', started);
  const { notify } = shows(dom0);
  const { queues } = facts.queues;
  const devices = p.uints(
    'queue_devices',
    queues.map((q) => q.device),
  );
  const bases = p.uints(
    'device_bases',
    facts.devices.map((d) => d.base),
  );
  const next = (table: string, key: string, from: string): string =>
    `ASOF LEFT JOIN (${table}) AS n ON l.${key} = n.${key} AND n.row > l.${from}`;
  const pick = (row: string): string => `if(n.row > 0 AND l.use_row != ${NEVER}, n.row, ${NEVER}) AS ${row}`;
  const requests = `SELECT *, toUInt16(arrayElement(${devices}, q)) AS device FROM (${rows}) WHERE is_request AND NOT dropped`;
  const polls = `SELECT q, pop_row AS row FROM (${rows}) WHERE NOT is_request`;
  const handlers = `SELECT toUInt16(indexOf(arrayMap(b -> b + ${REG_INTERRUPT_STATUS}, ${bases}), address) - 1) AS device, row
    FROM (${tells(p, facts, dom0)}) WHERE has(arrayMap(b -> b + ${REG_INTERRUPT_STATUS}, ${bases}), address)`;
  const numbered = `SELECT device, row, t, row_number() OVER (ORDER BY row) AS number, toUInt64(0) AS event FROM (${raises(p, facts) ?? ''})`;
  const events = `SELECT toUInt16(0), row, t, toUInt64(0), row + 1 FROM (${sourceRows(p, 'dom0', dom0, 'cpu')}
    AND kind BETWEEN ${K.DM_QUEUE_NOTIFY} AND ${K.DM_BLK_DONE})`;
  // The local pass hands on what the thread told of with the device model's next event: event, the last before a raise.
  const raised = notify
    ? numbered
    : `SELECT device, row, t, number, last_event AS event FROM (
        SELECT *, max(event) OVER (ORDER BY row ROWS UNBOUNDED PRECEDING) AS last_event FROM (${numbered} UNION ALL ${events})
      ) WHERE number > 0`;
  const announced = notify
    ? `SELECT l.*, ${pick('announce_row')} FROM (${requests}) AS l
      ${next(`SELECT q, row FROM (${queueRows(p, facts, dom0, [K.DM_NOTIFY])}) WHERE q > 0`, 'q', 'use_row')}`
    : `SELECT *, use_row AS announce_row FROM (${requests})`;
  const handled = `SELECT l.*, ${pick('handler_row')} FROM (${announced}) AS l ${next(handlers, 'device', 'use_row')}`;
  const polled = `SELECT l.*, ${pick('poll_row')} FROM (${handled}) AS l ${next(polls, 'q', 'use_row')}`;
  const first = `SELECT l.*, if(n.row > 0 AND l.announce_row != ${NEVER}, n.row, ${NEVER}) AS line_row, n.t AS raise_t, n.number AS raise_number, n.event AS event
    FROM (${polled}) AS l ${next(raised, 'device', 'announce_row')}`;
  const ends = `SELECT *, least(handler_row, poll_row) AS taken_row,
        ${notify ? 'announce_row < taken_row' : 'line_row < taken_row'} AS told, if(told AND line_row != ${NEVER}, line_row, 0) AS raise_row,
        if(told, line_row, taken_row) AS end_row
      FROM (${first})
      WHERE ${notify ? '1' : refuseIf(`handler_row < line_row AND line_row != ${NEVER} AND NOT (event > handler_row + 1)`, 'a handler that runs before the raise')}`;
  return `SELECT * FROM (
      SELECT *, countIf(use_row != ${NEVER} AND end_row = ${NEVER}) OVER () AS never_ended,
        maxIf(end_row, end_row != ${NEVER}) OVER (ORDER BY use_row ROWS BETWEEN UNBOUNDED PRECEDING AND ${SURE_UNINTERRUPTED} PRECEDING) AS ended_before
      FROM (${ends})
    )
    WHERE ${refuseIf(`use_row != ${NEVER} AND (never_ended > ${SURE_UNINTERRUPTED} OR ended_before >= use_row)`, 'requests that wait for no interrupt')}`;
}
