import type { SpanFamily, SpanPlan } from '../../trace/spans.ts';
import { DIR_UNKNOWN, NO_DEVICE, NO_KEY, PREEMPTED, SPAN_FLAG } from '../../trace/spans.ts';
import { REG_QUEUE_NOTIFY } from '../../trace/virtio-mmio.ts';
import type { GroupKey } from '../stats/group-key.ts';
import { KEY_BITS } from '../stats/group-key.ts';

/** SQL over the columns of table `spans`. Every expression says what a function over SpanBatch says. */

/** Index into LEFT_OUT or -1: leftOutReason (stats/family-stats.ts). */
export const LEFT_OUT_SQL =
  `multiIf(bitAnd(flags, ${SPAN_FLAG.INVALIDATE}) != 0, 0, bitAnd(flags, ${SPAN_FLAG.LOSS}) != 0, 1, ` +
  `NOT isNaN(total), -1, bitAnd(flags, ${SPAN_FLAG.ONE_SIDED}) != 0, 2, ` +
  `bitAnd(flags, ${SPAN_FLAG.UNNOTIFIED}) != 0, 4, 3)`;

export const IN_KERNEL_SQL = `bitAnd(flags, ${SPAN_FLAG.KERNEL}) != 0`;

/** Length of every stage of a plan: StageLengths (trace/spans.ts), in its order of operations. */
export function stageSql(plan: SpanPlan): string[] {
  const at = (name: string): string => `at[${plan.boundaries.findIndex((b) => b.name === name) + 1}]`;
  const lost = plan.stages.filter((s) => s.inTotal && s.preempted >= 0);
  return plan.stages.map((stage) => {
    if (stage.name === PREEMPTED)
      return ['toFloat64(0)', ...lost.map((s) => `preempted[${s.preempted + 1}]`)].join(' + ');
    const length = `${at(stage.to)} - ${at(stage.from)}`;
    return stage.preempted < 0 ? length : `${length} - preempted[${stage.preempted + 1}]`;
  });
}

/**
 * The values of one span that go into distributions, as an array of (measure, value): MEASURE's numbers, then one a
 * stage. What FamilyStats.add records, it holds.
 */
export const MEASURE = { TOTAL: 0, STAGED: 1, IN_KERNEL: 2, PREEMPTED: 3, FIRST_STAGE: 4 } as const;

export function measuresSql(plan: SpanPlan): string {
  const stages = stageSql(plan);
  const inTotal = plan.stages.flatMap((s, k) => (s.inTotal ? [`isNaN(st[${k + 1}])`] : []));
  const complete = inTotal.length === 0 ? '1' : `NOT (${inTotal.join(' OR ')})`;
  const preempted = plan.stages.findIndex((s) => s.name === PREEMPTED);
  const one = (measure: number, value: string, condition: string): string =>
    `if(${condition}, [(toUInt8(${measure}), toFloat64(${value}))], [])`;
  const parts = [
    `[(toUInt8(${MEASURE.TOTAL}), total)]`,
    one(MEASURE.STAGED, 'total', 'complete'),
    one(MEASURE.IN_KERNEL, 'total', IN_KERNEL_SQL),
    ...(preempted < 0
      ? []
      : [one(MEASURE.PREEMPTED, `st[${preempted + 1}]`, `complete AND st[${preempted + 1}] > 0`)]),
    ...plan.stages.map((stage, k) => {
      const value = `st[${k + 1}]`;
      const counted = stage.inTotal ? 'complete' : `NOT isNaN(${value})`;
      return one(MEASURE.FIRST_STAGE + k, value, counted);
    }),
  ];
  return (
    `arrayConcat(${parts.join(', ')}) AS measures, ` +
    `[${stages.length === 0 ? 'nan' : stages.join(', ')}] AS st, ${complete} AS complete`
  );
}

/** Bucket of Histogram.restore. */
export const BUCKET_SQL =
  'if(abs(value) < 1, 0, toInt32(bitShiftRight(reinterpretAsUInt64(abs(value)), 43)) * if(value < 0, -1, 1))';

/** keyValue (stats/group-key.ts): -1 where the key does not apply. */
function keySql(family: SpanFamily, key: GroupKey): string {
  switch (key) {
    case 'device':
      return `if(device = ${NO_DEVICE}, -1, toInt64(device))`;
    case 'register':
      if (family !== 'mmio') return 'toInt64(-1)';
      return `if(key = ${NO_KEY}, -1, toInt64(bitAnd(key, 1048575)) * 4 + toInt64(bitAnd(dir, 3)))`;
    case 'queue':
      if (family === 'request') return 'toInt64(key)';
      if (family !== 'mmio') return 'toInt64(-1)';
      return `if(key = ${REG_QUEUE_NOTIFY}, toInt64(bitAnd(value, 65535)), -1)`;
    case 'vcpu':
      return 'if(vcpu = 65535, -1, toInt64(vcpu))';
    case 'direction':
      return `if(dir = ${DIR_UNKNOWN}, -1, toInt64(dir))`;
  }
}

/** compositeKey (stats/group-key.ts) of a span, or -1. */
export function compositeSql(family: SpanFamily, keys: readonly GroupKey[]): string {
  const values = keys.map((key) => keySql(family, key));
  const none = values.map((v) => `${v} = -1`).join(' OR ');
  const [first = 'toInt64(0)', ...rest] = values;
  const composite = rest.reduce((sum, v, n) => `(${sum}) * ${2 ** KEY_BITS[keys[n + 1]!]} + ${v}`, first);
  return `if(${none === '' ? '0' : none}, toInt64(-1), ${composite})`;
}
