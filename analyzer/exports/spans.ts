import type { SpanBatch, SpanFamily, SpanPlan } from '../../trace/spans.ts';
import { DIR_UNKNOWN, NO_DEVICE, NO_KEY } from '../../trace/spans.ts';
import { registerName } from '../../trace/virtio-mmio.ts';

/** Columns of one family's spans: a SpanBatch fits, and so does the page's own table. */
export type SpanColumns = Pick<
  SpanBatch,
  | 'start'
  | 'total'
  | 'device'
  | 'key'
  | 'vcpu'
  | 'dir'
  | 'type'
  | 'flags'
  | 'amount'
  | 'value'
  | 'group'
  | 'at'
  | 'preempted'
>;

/** What an export is made of: some rows of one family's spans. */
export interface SpanRows {
  plan: SpanPlan;
  columns: SpanColumns;
  rows: Uint32Array;
  /** Spans that a row stands for; null = 1 each. */
  weight: Float32Array | null;
  devices: readonly { readonly name: string }[];
}

export function deviceLabel({ columns, devices }: SpanRows, row: number): string {
  const device = columns.device[row]!;
  return device === NO_DEVICE ? 'no device' : (devices[device]?.name ?? `device ${device}`);
}

export function keyLabel({ columns, plan }: SpanRows, row: number): string {
  const key = columns.key[row]!;
  if (key === NO_KEY) return 'unknown';
  if (plan.family === 'mmio') return registerName(key);
  return plan.family === 'request' ? `queue ${key}` : `SPI ${key}`;
}

const DIRECTIONS: Readonly<Record<SpanFamily, readonly [string, string]>> = {
  mmio: ['write', 'read'],
  request: ['out', 'in'],
  interrupt: ['', ''],
  injection: ['', ''],
};

export function dirLabel({ columns, plan }: SpanRows, row: number): string {
  const dir = columns.dir[row]!;
  return dir === DIR_UNKNOWN ? '' : (DIRECTIONS[plan.family][dir] ?? '');
}

/** `blk0 QueueNotify write` */
export const spanLabel = (spans: SpanRows, row: number): string =>
  [deviceLabel(spans, row), keyLabel(spans, row), dirLabel(spans, row)].filter((t) => t !== '').join(' ');
