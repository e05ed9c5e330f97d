import { NO_VCPU } from '../../trace/ids.ts';
import { DIR_WRITE } from '../../trace/ioreq.ts';
import { DIR_UNKNOWN, SPAN_FLAG } from '../../trace/spans.ts';
import { REG_QUEUE_NOTIFY } from '../../trace/virtio-mmio.ts';
import { REQUEST_TYPE } from '../passes/requests.ts';
import type { SqlFacts } from './facts.ts';
import { layered } from './layers.ts';
import { touches } from './losses.ts';
import { accesses } from './mmio.ts';
import type { Params } from './params.ts';
import { refuseIf } from './params.ts';
import { NEVER, started } from './request-rows.ts';
import { ended } from './request-ends.ts';

/** passes/requests.ts: notifies are remembered until this many later. */
const NOTIFY_RING = 65_536;
/** No guest and no host make that many ioreqs in less. */
const RING_NS = 0.3e9;
/** analyze.ts gives requests out 40 ms behind the streams, in slices of 20 ms: a notify that ends by then is known. */
const SURE_NS = 18e6;
const NO_GROUP = 0xffffffff;

/** Rows of a request span: one a virtqueue element. Equal to passes/requests.ts. */
export function requests(p: Params, facts: SqlFacts): string | undefined {
  const { dom0, queues } = facts;
  if (dom0 === null || !facts.hooks.requests || queues.queues.length === 0) return undefined;
  const own = accesses(p, facts) ?? NO_ACCESSES;
  const devices = p.uints(
    'queue_devices',
    queues.queues.map((q) => q.device),
  );
  const numbers = p.uints(
    'queue_numbers',
    queues.queues.map((q) => q.queue),
  );
  const columns = layered(
    `SELECT * FROM (${ended(p, facts, dom0, started(p, facts, dom0))}) AS l
    LEFT JOIN (
      SELECT toUInt64(seq) AS notify_seq, any(guest) AS guest, max(stop) AS notify_stop FROM (${own})
      WHERE key = ${REG_QUEUE_NOTIFY} AND dir = ${DIR_WRITE} AND seq > 0 GROUP BY seq
    ) AS n ON l.started_by = n.notify_seq`,
    `if(started_by > 0 AND notify_seq = started_by, guest, nan) AS notify,
      if(use_row = ${NEVER}, nan, use_t) AS used, if(raise_row > 0, raise_t, nan) AS interrupt`,
    `if(isNaN(notify), popped, notify) AS start,
      multiIf(NOT isNaN(interrupt), interrupt, NOT isNaN(used), used, popped) AS stop`,
  );
  const lost = ['start', 'stop'] as const;
  return `SELECT start, used - notify AS total, toUInt16(arrayElement(${devices}, q)) AS device,
      toUInt32(arrayElement(${numbers}, q)) AS key, toUInt16(${NO_VCPU}) AS vcpu,
      toUInt8(multiIf(type = ${REQUEST_TYPE.IN}, 1, type = ${REQUEST_TYPE.OUT}, 0, ${DIR_UNKNOWN})) AS dir, toUInt8(type) AS type,
      toUInt16(if(isNaN(notify) OR isNaN(used), ${SPAN_FLAG.INCOMPLETE}, 0) + if(isNaN(used), ${SPAN_FLAG.CUT}, 0)
        + if(started_by = 0, ${SPAN_FLAG.UNNOTIFIED}, 0)
        + if(${touches(p, 'xen_lost', facts.xenLosses, ...lost)} OR ${touches(p, 'dom0_lost', facts.dom0Losses, ...lost)}, ${SPAN_FLAG.LOSS}, 0)) AS flags,
      toUInt32(bytes) AS amount, toUInt32(depth) AS value,
      toUInt32(if(raise_row > 0, raise_number - 1, ${NO_GROUP})) AS \`group\`,
      [notify, popped, used, interrupt] AS at, CAST([], 'Array(Float64)') AS preempted
    FROM (${columns})
    WHERE ${refuseIf(`NOT isNaN(notify) AND notify_stop > used + ${SURE_NS}`, 'a notify that ends long after its request')}
      AND ${refuseIf(
        `started_by > 0 AND takes_in_all > ${NOTIFY_RING} AND NOT (used - popped < ${RING_NS})`,
        'a request that is under way for very long',
      )}`;
}

const NO_ACCESSES =
  'SELECT toUInt64(0) AS seq, nan AS guest, nan AS stop, toUInt32(0) AS key, toUInt8(0) AS dir WHERE 0';
