import { SETTLE_NS } from '../dom0-side.ts';
import type { MmioMark } from '../passes/plans.ts';
import { mmioPlan } from '../passes/plans.ts';
import { IOREQ_TYPE } from '../../trace/ioreq.ts';
import { DIR_UNKNOWN, NO_DEVICE, NO_KEY, SPAN_FLAG } from '../../trace/spans.ts';
import { REG_QUEUE_NOTIFY } from '../../trace/virtio-mmio.ts';
import { DOM0_COLUMNS, dom0Side } from './dom0-side.ts';
import type { SqlFacts } from './facts.ts';
import { touches } from './losses.ts';
import { layered } from './layers.ts';
import type { Params } from './params.ts';
import { refuseIf } from './params.ts';
import { XEN_COLUMNS, xenSide } from './xen-side.ts';

/** What the interrupts and requests need beside the span columns: AccessListener's arguments. */
export const ACCESS_COLUMNS = 'guest, stop, seq, preempted_at';

/**
 * One row an ioreq: the columns of an MMIO span, and ACCESS_COLUMNS; undefined if the trace's hooks show no two
 * instants of one. Equal to passes/mmio-join.ts.
 */
export function accesses(p: Params, facts: SqlFacts): string | undefined {
  const plan = mmioPlan(facts.hooks);
  if (plan === undefined) return undefined;
  const { hooks, xen, dom0, devices } = facts;
  const hasXen = xen !== null && (hooks.runstates || hooks.tracePoints);
  const hasDom0 = dom0 !== null && hooks.notify;
  const bases = p.uints(
    'device_bases',
    devices.map((d) => d.base),
  );
  const ends = p.uints(
    'device_ends',
    devices.map((d) => d.base + d.size),
  );
  const at = plan.marks.map(instant).join(', ');
  const preempted = plan.preempted.map((from) => `if(has_x, lost_${from}, nan)`).join(', ');
  const lost = ['start', 'stop'] as const;
  const columns = layered(
    joined(p, facts, hasXen, hasDom0),
    `[${at}] AS at, CAST([${preempted}], 'Array(Float64)') AS preempted, if(has_x, x_start, d_start) AS start,
      if(has_x, x_end, d_end) AS stop, ${hasXen && hasDom0 ? 'NOT (has_x AND has_d)' : '0'} AS one_sided,
      has_d AND d_info IS NOT NULL AS by_d`,
    `if(by_d, d_info, if(has_x, x_info, NULL)) AS told_info, if(by_d, d_addr, x_addr) AS address`,
    'told_info IS NOT NULL AS known, ifNull(told_info, 0) AS info',
    `toUInt8(if(known, bitAnd(bitShiftRight(info, 16), 255), 255)) AS type,
      toUInt8(if(known, bitAnd(bitShiftRight(info, 8), 1), ${DIR_UNKNOWN})) AS dir,
      toUInt32(if(known, bitAnd(info, 255), 0)) AS amount, toUInt32(if(known, if(by_d, d_data, x_data), 0)) AS value`,
    `known AND type = ${IOREQ_TYPE.INVALIDATE} AS invalidate`,
    `if(known AND NOT invalidate, arrayFirstIndex((b, e) -> address >= b AND address < e, ${bases}, ${ends}), 0) AS place`,
    `toUInt16(if(place > 0, place - 1, ${NO_DEVICE})) AS device,
      toUInt32(if(place > 0, address - arrayElement(${bases}, place), ${NO_KEY})) AS key`,
  );
  const sql = `SELECT start, at[${plan.totalTo + 1}] - at[${plan.totalFrom + 1}] AS total, device, key, vcpu, dir, type,
      toUInt16(if(one_sided, ${SPAN_FLAG.ONE_SIDED}, 0)
        + if(arrayExists(x -> isNaN(x), at), ${SPAN_FLAG.INCOMPLETE}, 0)
        + if(has_x AND NOT isNaN(send) AND isNaN(offline), ${SPAN_FLAG.NO_WAIT}, 0)
        + if(${touches(p, 'xen_lost', facts.xenLosses, ...lost)} OR ${touches(p, 'dom0_lost', facts.dom0Losses, ...lost)}, ${SPAN_FLAG.LOSS}, 0)
        + if(invalidate, ${SPAN_FLAG.INVALIDATE}, 0)
        + if(NOT has_d AND ${hasDom0 ? 1 : 0} AND key = ${REG_QUEUE_NOTIFY}, ${SPAN_FLAG.KERNEL}, 0)) AS flags,
      amount, value, toUInt32(0) AS \`group\`, at, preempted,
      if(${hasXen ? 1 : 0} AND NOT has_x, nan, start) AS guest, stop, seq,
      if(has_x, x_preempted, nan) AS preempted_at
    FROM (${columns})`;
  return p.shared('ioreq_accesses', sql);
}

function instant(mark: MmioMark): string {
  const own = ['dom0_irq', 'dm_read', 'service', 'answer'].includes(mark) ? 'has_d' : 'has_x';
  return `if(${own}, ${mark}, nan)`;
}

const NEXT = 'OVER (PARTITION BY vcpu ORDER BY island ROWS BETWEEN CURRENT ROW AND 2 FOLLOWING)';
const PRIOR = 'OVER (PARTITION BY vcpu ORDER BY island ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)';

/**
 * The two sides of every ioreq as one row: has_x, has_d and the columns of both.
 *
 * On each vCPU both sides are disjoint intervals in order. Merged by their begins, intervals that share an instant
 * form islands. An island of one of each is one ioreq: no other interval shares anything with either, so the walk
 * of MmioJoin joins them whatever lies around. An island of one interval stands alone, unless the next one is of the
 * other side, alone as well, and within the tolerance: these two are one ioreq if neither has a nearer one. Whatever
 * else there is (an island of three, a longer chain, an end so late that the walk may have given up waiting for it) is
 * refused: the answer would hang on the slices of that walk.
 */
function joined(p: Params, facts: SqlFacts, hasXen: boolean, hasDom0: boolean): string {
  const x = hasXen && facts.xen !== null ? xenSide(p, facts, facts.xen) : undefined;
  const d = hasDom0 && facts.dom0 !== null ? dom0Side(p, facts, facts.dom0) : undefined;
  const rows = [x === undefined ? [] : side(x, 'x'), d === undefined ? [] : side(d, 'd')]
    .flat()
    .join('\nUNION ALL\n');
  if (x === undefined || d === undefined) return `SELECT *, NOT is_d AS has_x, is_d AS has_d FROM (${rows})`;
  const picks = (own: (side: 'x' | 'd') => string): string =>
    [
      ...XEN_COLUMNS.slice(1).map((c) => pick(c, own('x'))),
      ...DOM0_COLUMNS.slice(1).map((c) => pick(c, own('d'))),
    ].join(', ');
  return `SELECT vcpu, ioreq, max(with_x) AS has_x, max(with_d) AS has_d, ${picks((s) => `with_${s}`)}
    FROM (
      SELECT *, sum(NOT joins_prior) OVER (PARTITION BY vcpu ORDER BY island ROWS UNBOUNDED PRECEDING) AS ioreq
      FROM (
        SELECT *, lagInFrame(joins, 1, 0) ${PRIOR} AS joins_prior, lagInFrame(turns, 1, 0) ${PRIOR} AS turns_prior
        FROM (${turns(
          p.double('tolerance', facts.tolerance),
          islands(
            rows,
            picks((s) => (s === 'd' ? 'is_d' : 'NOT is_d')),
          ),
        )})
      )
      WHERE ${refuseIf('turns AND turns_prior', 'ioreqs of either side in turn within the error of the clocks')}
    ) GROUP BY vcpu, ioreq`;
}

function islands(rows: string, picks: string): string {
  const apart = `i_start > max(toNullable(i_end)) OVER (PARTITION BY vcpu ORDER BY i_start, is_d ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)`;
  return `SELECT vcpu, island, min(i_start) AS first, max(i_end) AS last, countIf(NOT is_d) AS xs, countIf(is_d) AS ds,
      toUInt8(xs > 0) AS with_x, toUInt8(ds > 0) AS with_d, ${picks}
    FROM (
      SELECT *, sum(apart) OVER (PARTITION BY vcpu ORDER BY i_start, is_d ROWS UNBOUNDED PRECEDING) AS island
      FROM (SELECT *, ifNull(${apart}, 1) AS apart FROM (${rows}))
    ) GROUP BY vcpu, island`;
}

/**
 * turns: the island and the next are of either side alone, and within the tolerance. joins: they are one ioreq, since
 * the next of the first one's side is not nearer to the second.
 */
function turns(tolerance: string, rows: string): string {
  const lead = (of: string, by: number, none: string): string => `leadInFrame(${of}, ${by}, ${none}) ${NEXT}`;
  const late = (end: string, slack: string): string =>
    `${end} > greatest(last, next_last) + ${tolerance} + ${slack}`;
  const columns = layered(
    rows,
    [
      `${lead('with_x', 1, 'toUInt8(0)')} AS next_x, ${lead('with_d', 1, 'toUInt8(0)')} AS next_d`,
      `${lead('first', 1, 'inf')} AS next_first, ${lead('last', 1, 'inf')} AS next_last`,
      `${lead('x_end', 1, 'nan')} AS next_x_end, ${lead('d_end', 1, 'nan')} AS next_d_end`,
      `${lead('with_x', 2, 'toUInt8(0)')} AS third_x, ${lead('with_d', 2, 'toUInt8(0)')} AS third_d`,
      `${lead('first', 2, 'inf')} AS third_first`,
      `${lead('x_start', 2, 'nan')} AS third_x_start, ${lead('d_start', 2, 'nan')} AS third_d_start`,
      `${lead('x_end', 2, 'nan')} AS third_x_end, ${lead('d_end', 2, 'nan')} AS third_d_end`,
    ].join(', '),
    `with_x + with_d = 1 AS alone, NOT (last + ${tolerance} < next_first) AS near, last - next_first AS shared,
      if(with_x, third_x, third_d) AS third_has, next_last - if(with_x, third_x_start, third_d_start) AS third_shared`,
    'near AND alone AND next_x + next_d = 1 AND with_x != next_x AS turns',
    'turns AND NOT (third_has AND third_shared > shared) AS joins',
  );
  return `SELECT * FROM (${columns})
    WHERE ${refuseIf('xs > 1 OR ds > 1', 'ioreqs of the two sides that lie across each other')}
      AND ${refuseIf(`with_x AND with_d AND d_end > x_end + ${tolerance}`, 'an answer after the end of its ioreq')}
      AND ${refuseIf(
        `next_x AND next_d AND alone AND near
          AND ((with_x AND next_x_end > next_d_end + ${tolerance} + ${SETTLE_NS}) OR (with_d AND next_d_end > next_x_end + ${tolerance}))`,
        'an ioreq of one side right before a long one',
      )}
      AND ${refuseIf(
        `turns AND next_last - third_first > shared
          AND (NOT third_has OR if(with_x, ${late('third_x_end', String(SETTLE_NS))}, ${late('third_d_end', '0')}))`,
        'ioreqs of either side too near each other',
      )}`;
}

function pick(column: string, own: string): string {
  return `anyIf(${column}, ${own}) AS ${column}`;
}

/** One side's rows with the other side's columns empty, so that both fit below each other. */
function side(sql: string, which: 'x' | 'd'): string {
  const own: readonly string[] = which === 'x' ? XEN_COLUMNS : DOM0_COLUMNS;
  const all = [...XEN_COLUMNS, ...DOM0_COLUMNS.slice(1)];
  const columns = all.map((c) => (own.includes(c) ? c : `${empty(c)} AS ${c}`));
  return `SELECT ${columns.join(', ')}, ${which}_start AS i_start, ${which}_end AS i_end, toUInt8(${which === 'd' ? 1 : 0}) AS is_d
    FROM (${sql})`;
}

function empty(column: string): string {
  if (column === 'seq' || column.endsWith('_addr')) return 'toUInt64(0)';
  if (column.endsWith('_data')) return 'toUInt32(0)';
  if (column.endsWith('_info')) return `CAST(NULL, 'Nullable(UInt32)')`;
  return 'nan';
}
