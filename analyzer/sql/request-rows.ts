import { K } from '../../trace/events.ts';
import { REG_QUEUE_NOTIFY } from '../../trace/virtio-mmio.ts';
import { REQUEST_TYPE } from '../passes/requests.ts';
import { tells } from './dom0-side.ts';
import type { SqlFacts, SqlSource } from './facts.ts';
import type { Params } from './params.ts';
import { refuseIf } from './params.ts';
import { sourceRows } from './source-rows.ts';

/** Row number of what does not happen. */
export const NEVER = '18446744073709551615';
const SECTOR_BYTES = 512;

/** What the device model's trace shows of requests: decides what a pop, a use and an announcement is. */
export function shows(dom0: SqlSource): { pop: boolean; flush: boolean; notify: boolean } {
  const has = (kind: string): boolean => (dom0.kinds[kind] ?? 0) > 0;
  return {
    pop: has('dm.virtqueue_pop'),
    flush: has('dm.virtqueue_flush') && has('dm.virtqueue_fill'),
    notify: has('dm.virtio_notify'),
  };
}

/** The device model's rows with the queue that each is about, by its place (from 1) in the facts' list; 0: none. */
export function queueRows(p: Params, facts: SqlFacts, dom0: SqlSource, kinds: readonly number[]): string {
  const { queues } = facts.queues;
  const vdevs = p.wides(
    'queue_vdevs',
    queues.map((q) => q.vdev),
  );
  const vqs = p.wides(
    'queue_vqs',
    queues.map((q) => q.vq),
  );
  const numbers = p.uints(
    'queue_numbers',
    queues.map((q) => q.queue),
  );
  const handled = `kind = ${K.DM_QUEUE_NOTIFY}`;
  return `SELECT row, t, kind, data, arg0, arg2, q FROM (
      SELECT *, toUInt32(multiIf(
          ${handled}, arrayFirstIndex((v, n) -> v = addr AND n = arg0, ${vdevs}, ${numbers}),
          kind IN (${K.DM_POP}, ${K.DM_FLUSH}), indexOf(${vqs}, addr),
          kind = ${K.DM_NOTIFY}, indexOf(${vqs}, data),
          kind IN (${K.DM_BLK_READ}, ${K.DM_BLK_WRITE}), indexOf(${vdevs}, addr), 0)) AS q
      FROM (${sourceRows(p, 'dom0', dom0, 'addr, data, arg0, arg2')} AND kind IN (${kinds.join(', ')}))
    ) WHERE ${refuseIf(`${handled} AND data != 0 AND data != arrayElement(${vqs}, q)`, 'a queue that moves')}`;
}

/**
 * One row a request: q, pop_row, popped, use_row, use_t, type, bytes, depth and started_by (number of the ioreq that
 * notified, 0 if none can be told), polls: rows at which a notify finds its queue idle.
 *
 * Everything of a queue that changes its depth or its last notify is laid in one line, in the order of rows.
 */
export function started(p: Params, facts: SqlFacts, dom0: SqlSource): string {
  const { queues } = facts.queues;
  const kind = (device: number): string | undefined => facts.devices[device]?.kind;
  // Receive queues, which the device uses when it has something to say (passes/requests.ts: deviceDriven).
  const driven = queues.map((q) => {
    const k = kind(q.device);
    return Number((k === 'console' && q.queue % 2 === 0) || (k === 'net' && q.queue === 0));
  });
  return `SELECT q, pop_row, popped, use_row, use_t, type, bytes, depth, takes_in_all, what = 2 AS is_request, dropped,
      if(arrayElement(${p.uints('queue_driven', driven)}, q) = 1 OR (last_pop > last_answered AND depth = 1) OR NOT answered_last, 0, last_seq) AS started_by
    FROM (
      SELECT *, max(is_answered * (row + 1)) OVER line AS last_answered, argMaxIf(is_answered, row, what = 1) OVER line AS answered_last,
        argMaxIf(kick_seq, row, is_answered) OVER line AS last_seq
      FROM (
        SELECT *, toUInt8(what = 1 AND last_kick > last_notify) AS is_answered
        FROM (
          SELECT *, toInt64(sum(delta) OVER line) AS depth, maxIf(row + 1, what = 0) OVER before AS last_kick,
            argMaxIf(seq, row, what = 0) OVER before AS kick_seq, maxIf(row + 1, what = 1) OVER before AS last_notify,
            maxIf(row + 1, what = 2) OVER before AS last_pop, max(seq) OVER () AS takes_in_all
          FROM (${line(p, facts, dom0)})
          WINDOW line AS (PARTITION BY q ORDER BY row, place ROWS UNBOUNDED PRECEDING),
            before AS (PARTITION BY q ORDER BY row, place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        )
      )
      WINDOW line AS (PARTITION BY q ORDER BY row, place ROWS UNBOUNDED PRECEDING)
    )
    WHERE (what = 2 OR (what = 1 AND is_answered AND depth = 0)) AND ${refuseIf('depth < 0', 'a queue that gives back more than it took')}`;
}

/** what: 0 kick told of, 1 the device model handles a notify, 2 pop, 3 use, 4 a pop over one that is not used yet. */
function line(p: Params, facts: SqlFacts, dom0: SqlSource): string {
  const { queues } = facts.queues;
  const devices = p.uints(
    'queue_devices',
    queues.map((q) => q.device),
  );
  const numbers = p.uints(
    'queue_numbers',
    queues.map((q) => q.queue),
  );
  const bases = p.uints(
    'device_bases',
    facts.devices.map((d) => d.base),
  );
  const registers = `arrayMap(d -> arrayElement(${bases}, d + 1) + ${REG_QUEUE_NOTIFY}, ${devices})`;
  const none =
    'toUInt64(0) AS pop_row, nan AS popped, toUInt64(0) AS use_row, nan AS use_t, toUInt32(0) AS type, toUInt64(0) AS bytes, toUInt8(0) AS dropped';
  return `SELECT toUInt32(q) AS q, toUInt64(row) AS row, toUInt8(0) AS place, toUInt8(0) AS what, toUInt64(seq) AS seq, toInt8(0) AS delta, ${none}
    FROM (
      SELECT *, arrayFirstIndex((r, n) -> r = address AND n = bitAnd(value, 65535), ${registers}, ${numbers}) AS q
      FROM (${tells(p, facts, dom0)})
    ) WHERE q > 0
    UNION ALL
    SELECT q, row, toUInt8(0), toUInt8(1), toUInt64(0), toInt8(0), toUInt64(row), t, toUInt64(0), nan, toUInt32(0), toUInt64(0), toUInt8(0)
    FROM (${queueRows(p, facts, dom0, [K.DM_QUEUE_NOTIFY])}) WHERE q > 0
    UNION ALL
    SELECT q, if(half = 3, use_row, pop_row), toUInt8(if(half = 2, 1, 0)), toUInt8(half), toUInt64(0), toInt8(if(half = 2, 1, -1)),
      pop_row, popped, use_row, use_t, type, bytes, dropped
    FROM (
      SELECT *, arrayJoin(arrayFilter(h -> h = 2 OR (h = 3 AND use_row != ${NEVER}) OR (h = 4 AND over), [2, 3, 4])) AS half
      FROM (${elements(p, facts, dom0)})
    )`;
}

/**
 * One row a pop: what it was and when it was used. `over`: the element's request before was not used by then: the
 * device model's request before is forgotten, and so is it here (its row has `dropped`).
 */
function elements(p: Params, facts: SqlFacts, dom0: SqlSource): string {
  const { pop, flush } = shows(dom0);
  const blk = [K.DM_BLK_READ, K.DM_BLK_WRITE];
  const pops = pop ? [K.DM_POP] : blk;
  const rows = queueRows(p, facts, dom0, [K.DM_QUEUE_NOTIFY, K.DM_POP, K.DM_FILL, ...blk, K.DM_BLK_DONE]);
  const uses = flush ? `kind = ${K.DM_FILL}` : `kind IN (${K.DM_FILL}, ${K.DM_BLK_DONE})`;
  const lives = `SELECT data AS element, life, argMin(q, row) AS q, min(row) AS pop_row, min(t) AS popped,
      ifNull(minOrNullIf(row, ${uses}), ${NEVER}) AS end_row, ifNull(minOrNullIf(t, ${uses}), nan) AS end_t,
      groupArrayIf((row, arg0), kind = ${K.DM_FILL}) AS fills,
      groupArrayIf((row, kind, arg2), kind IN (${blk.join(', ')})) AS blks
    FROM (
      SELECT *, sum(begins) OVER (PARTITION BY data ORDER BY row ROWS UNBOUNDED PRECEDING) AS life
      FROM (
        SELECT *, kind IN (${pops.join(', ')}) AND q > 0 AND row > met AS begins
        FROM (SELECT *, ifNull(minOrNullIf(row, kind = ${K.DM_QUEUE_NOTIFY}) OVER (PARTITION BY q), ${NEVER}) AS met FROM (${rows}))
        WHERE kind != ${K.DM_QUEUE_NOTIFY}
      )
    ) WHERE life > 0 GROUP BY data, life`;
  // Published by the next flush of the queue, where flushes are traced.
  const used = flush
    ? `SELECT l.*, if(l.end_row != ${NEVER} AND f.row > 0, f.row, ${NEVER}) AS used_row, f.t AS use_t FROM (${lives}) AS l
      ASOF LEFT JOIN (SELECT q, row, t FROM (${queueRows(p, facts, dom0, [K.DM_FLUSH])}) WHERE q > 0) AS f ON l.q = f.q AND f.row > l.end_row`
    : `SELECT *, end_row AS used_row, end_t AS use_t FROM (${lives})`;
  return `SELECT q, pop_row, popped, if(used_row < next_pop, used_row, ${NEVER}) AS use_row, use_t,
      next_pop != ${NEVER} AND NOT (used_row < next_pop) AS dropped,
      lagInFrame(toUInt8(dropped), 1, 0) OVER (PARTITION BY element ORDER BY life ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS over,
      arraySort(x -> x.1, arrayFilter(x -> x.1 <= use_row, blks)) AS reads, arraySort(x -> x.1, arrayFilter(x -> x.1 <= use_row, fills)) AS written,
      toUInt32(multiIf(empty(reads), ${REQUEST_TYPE.UNKNOWN}, reads[-1].2 = ${K.DM_BLK_READ}, ${REQUEST_TYPE.IN}, ${REQUEST_TYPE.OUT})) AS type,
      toUInt64(multiIf(notEmpty(reads), reads[-1].3 * ${SECTOR_BYTES}, notEmpty(written), written[-1].2, 0)) AS bytes
    FROM (
      SELECT *, leadInFrame(pop_row, 1, ${NEVER}) OVER (PARTITION BY element ORDER BY life ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) AS next_pop
      FROM (${used})
    )`;
}
