import { DIR_READ, DIR_WRITE } from '../../trace/ioreq.ts';
import { DIR_UNKNOWN, SPAN_FLAG, TARGET_UNKNOWN } from '../../trace/spans.ts';
import { REG_INTERRUPT_ACK, REG_INTERRUPT_STATUS } from '../../trace/virtio-mmio.ts';
import { interruptPlan } from '../passes/plans.ts';
import { SLICE_NS } from '../streams.ts';
import { claims } from './claims.ts';
import type { SqlFacts } from './facts.ts';
import { touches } from './losses.ts';
import { accesses } from './mmio.ts';
import type { Params } from './params.ts';
import { refuseIf } from './params.ts';
import { raises } from './raises.ts';

/** Raises that may wait for a run of the handler (passes/interrupts.ts): older ones are forgotten there. */
const MAX_PENDING_RAISES = 65_536;
/** Accesses of several vCPUs to one device come in the order of time if they are this far apart. */
const SURE_ORDER_NS = 2.25 * SLICE_NS;

/** Rows of an interrupt span: one a run of the guest's handler. Equal to passes/interrupts.ts. */
export function interrupts(p: Params, facts: SqlFacts): string | undefined {
  const plan = interruptPlan(facts.hooks);
  const own = accesses(p, facts);
  if (own === undefined || facts.devices.length === 0) return undefined;
  const traced = facts.xen !== null && facts.hooks.tracePoints && facts.domid !== null;
  const runs = traced
    ? claims(p, facts, facts.xen, handlerRuns(own))
    : raisedRuns(p, facts, handlerRuns(own));
  const spis = p.uints(
    'spis',
    facts.devices.map(({ spi }) => spi),
  );
  const exact = plan.boundaries.filter((b) => b.bound === 'exact').map((b) => b.name);
  const preempted = plan.preempted.length > 0 ? 'lost_runs, lost_lr, lost_read' : '';
  const missing = 'x -> NOT isNaN(x)';
  return `SELECT arrayFirst(${missing}, arrayPushBack(at, nan)) AS first, arrayLast(${missing}, [nan, ${exact.join(', ')}]) AS last,
      if(arrayExists(${missing}, at), first, nan) AS start, at[${plan.totalTo + 1}] - at[${plan.totalFrom + 1}] AS total,
      toUInt16(device) AS device, toUInt32(arrayElement(${spis}, device + 1)) AS key, vcpu, toUInt8(${DIR_UNKNOWN}) AS dir,
      toUInt8(target) AS type,
      toUInt16(if(arrayExists(x -> isNaN(x), at), ${SPAN_FLAG.INCOMPLETE}, 0) + if(by_kernel, ${SPAN_FLAG.KERNEL}, 0)
        + if(arrayExists(${missing}, [${exact.join(', ')}]) AND (${touches(p, 'xen_lost', facts.xenLosses, 'first', 'last')}
          OR ${touches(p, 'dom0_lost', facts.dom0Losses, 'first', 'last')}), ${SPAN_FLAG.LOSS}, 0)) AS flags,
      toUInt32(amount) AS amount, value, toUInt32(row_number() OVER (ORDER BY start, device) - 1) AS \`group\`, at,
      CAST([${preempted}], 'Array(Float64)') AS preempted
    FROM (SELECT *, [${plan.boundaries.map((b) => b.name).join(', ')}] AS at FROM (${runs}))`;
}

/**
 * One row a read of InterruptStatus: device, run (its number on the device), seen, status_read, ack, value, vcpu,
 * preempted_read, preempted_ack. The acknowledge is the first one after it and before the next read.
 */
function handlerRuns(own: string): string {
  const read = `key = ${REG_INTERRUPT_STATUS}`;
  return `SELECT device, run, anyIf(start, ${read}) AS seen, anyIf(guest, ${read}) AS status_read,
      anyIf(value, ${read}) AS status, anyIf(vcpu, ${read}) AS handler, anyIf(preempted_at, ${read}) AS preempted_read,
      argMinIf((1, guest, vcpu, preempted_at), start, NOT (${read})) AS a,
      if(a.1 = 1, a.2, nan) AS ack, if(a.1 = 1 AND a.3 = handler, a.4, nan) AS preempted_ack
    FROM (
      SELECT *, sum(${read}) OVER (PARTITION BY device ORDER BY start ROWS UNBOUNDED PRECEDING) AS run
      FROM (
        SELECT *, lagInFrame((vcpu, stop), 1, (vcpu, stop)) OVER (PARTITION BY device ORDER BY start ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before
        FROM (${own})
        WHERE (${read} AND dir = ${DIR_READ}) OR (key = ${REG_INTERRUPT_ACK} AND dir = ${DIR_WRITE})
      )
      WHERE ${refuseIf(
        `before.1 != vcpu AND NOT (start - before.2 > ${SURE_ORDER_NS})`,
        'handlers of one device that run on several vCPUs at once',
      )}
    )
    WHERE run > 0 GROUP BY device, run`;
}

/** Without trace points: a run takes every raise up to its read; the first of them started it. */
function raisedRuns(p: Params, facts: SqlFacts, runs: string): string {
  const raised = raises(p, facts);
  const columns =
    'device, seen AS at_ns, toUInt8(1) AS is_run, toUInt64(0) AS row, toUInt8(0) AS kernel, status_read, ack, status, handler';
  const union =
    raised === undefined
      ? ''
      : `UNION ALL SELECT device, t, toUInt8(0), row, kernel, nan, nan, toUInt32(0), toUInt16(0) FROM (${raised})`;
  return `SELECT device, status_read, ack, status AS value, handler AS vcpu, ${TARGET_UNKNOWN} AS target, pending AS amount,
      if(pending > 0, first_raise.2, nan) AS raise, pending > 0 AND first_raise.3 = 1 AS by_kernel
    FROM (
      SELECT device, number, max(is_run) AS ran, anyIf(status_read, is_run) AS status_read, anyIf(ack, is_run) AS ack,
        anyIf(status, is_run) AS status, anyIf(handler, is_run) AS handler,
        countIf(NOT is_run) AS pending, argMinIf((1, at_ns, kernel), row, NOT is_run) AS first_raise
      FROM (
        SELECT *, ifNull(sum(is_run) OVER (PARTITION BY device ORDER BY at_ns, is_run, row ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS number
        FROM (SELECT ${columns} FROM (${runs}) ${union})
      ) GROUP BY device, number
    ) WHERE ran AND ${refuseIf(`pending >= ${MAX_PENDING_RAISES}`, 'raises that no handler takes')}`;
}
