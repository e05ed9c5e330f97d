import { K } from '../../trace/events.ts';
import { NO_VCPU } from '../../trace/ids.ts';
import { DIR_WRITE } from '../../trace/ioreq.ts';
import { DIR_UNKNOWN, SPAN_FLAG } from '../../trace/spans.ts';
import { REG_QUEUE_NOTIFY } from '../../trace/virtio-mmio.ts';
import { REQUEST_TYPE } from '../passes/requests.ts';
import { tells } from './dom0-side.ts';
import type { SqlFacts, SqlSource } from './facts.ts';
import { raises } from './interrupts.ts';
import { layered } from './layers.ts';
import { touches } from './losses.ts';
import { accesses } from './mmio.ts';
import type { Params } from './params.ts';
import { refuseIf } from './params.ts';
import { ended, inFlight, kindsOf, known } from './request-rows.ts';

/** passes/requests.ts: notifies are remembered until this many later; written out this far behind the streams. */
const NOTIFY_RING = 65_536;
const LAG_NS = 18e6;
const RING_NS = 0.3e9;
const NO_GROUP = 0xffffffff;

/** Rows of a request span: one a virtqueue element. Equal to passes/requests.ts. */
export function requests(p: Params, facts: SqlFacts): string | undefined {
  const { dom0 } = facts;
  if (dom0 === null || !facts.hooks.requests || facts.queues.queues.length === 0) return undefined;
  const queues = known(p, facts);
  const joined = `SELECT * FROM (${ended(p, facts, dom0, lives(p, facts, dom0))}) AS l
    LEFT JOIN (
      SELECT seq AS notify_seq, any(guest) AS guest, max(stop) AS notify_stop FROM (${accesses(p, facts) ?? NO_ACCESSES})
      WHERE key = ${REG_QUEUE_NOTIFY} AND dir = ${DIR_WRITE} AND seq > 0 GROUP BY seq
    ) AS n ON l.started_by = n.notify_seq`;
  const columns = layered(
    joined,
    `if(started_by > 0 AND notify_seq = started_by, guest, nan) AS notify,
      multiIf(use_row = 0, nan, use_t) AS used, if(raise_row > 0, raise_t, nan) AS interrupt`,
    `if(isNaN(notify), popped, notify) AS start, multiIf(NOT isNaN(interrupt), interrupt, NOT isNaN(used), used, popped) AS stop`,
  );
  return `SELECT start, used - notify AS total, toUInt16(arrayElement(${queues.devices}, q)) AS device,
      toUInt32(arrayElement(${queues.numbers}, q)) AS key, toUInt16(${NO_VCPU}) AS vcpu,
      toUInt8(multiIf(type = ${REQUEST_TYPE.IN}, 1, type = ${REQUEST_TYPE.OUT}, 0, ${DIR_UNKNOWN})) AS dir, type,
      toUInt16(if(isNaN(notify) OR isNaN(used), ${SPAN_FLAG.INCOMPLETE}, 0) + if(isNaN(used), ${SPAN_FLAG.CUT}, 0)
        + if(started_by = 0, ${SPAN_FLAG.UNNOTIFIED}, 0)
        + if(${touches(p, 'xen_lost', facts.xenLosses, 'start', 'stop')} OR ${touches(p, 'dom0_lost', facts.dom0Losses, 'start', 'stop')}, ${SPAN_FLAG.LOSS}, 0)) AS flags,
      toUInt32(bytes) AS amount, toUInt32(depth) AS value, toUInt32(if(raise_row > 0, raise_number, ${NO_GROUP})) AS \`group\`,
      [notify, popped, used, interrupt] AS at, CAST([], 'Array(Float64)') AS preempted
    FROM (${columns})
    WHERE ${refuseIf(`NOT isNaN(notify) AND NOT isNaN(used) AND notify_stop > used + ${LAG_NS}`, 'a notify that ends long after its request')}
      AND ${refuseIf(
        `started_by > 0 AND takes_in_all > ${NOTIFY_RING} AND NOT (used - popped < ${RING_NS})`,
        'a request that is under way for very long',
      )}`;
}

const NO_ACCESSES =
  'SELECT toUInt64(0) AS seq, nan AS guest, nan AS stop, toUInt32(0) AS key, toUInt8(0) AS dir WHERE 0';

/** One row a request: q, popped, use_row, use_t, type, bytes, depth, started_by (seq of the notify, 0: none). */
function lives(p: Params, facts: SqlFacts, dom0: SqlSource): string {
  return inFlight(p, facts, dom0);
}

void K;
void raises;
void tells;
void kindsOf;
