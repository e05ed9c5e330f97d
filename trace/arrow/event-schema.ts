import type { EventColumns } from '../columns.ts';
import type { ColumnType } from './message.ts';

/**
 * The columns of an event file in the order in which they are written: those of EventColumns. `addr` and
 * `data` are one unsigned 64-bit number a row in the file and two u32 halves, low first, in memory: on a
 * little-endian machine the same bytes.
 */
export type EventColumnName = Exclude<keyof EventColumns, 'length'>;

export const EVENT_COLUMNS: readonly { readonly name: EventColumnName; readonly type: ColumnType }[] = [
  { name: 'ts', type: 'f64' },
  { name: 'kind', type: 'u16' },
  { name: 'cpu', type: 'u16' },
  { name: 'domid', type: 'u16' },
  { name: 'vcpu', type: 'u16' },
  { name: 'pid', type: 'i32' },
  { name: 'addr', type: 'u64' },
  { name: 'data', type: 'u64' },
  { name: 'arg0', type: 'u32' },
  { name: 'arg1', type: 'u32' },
  { name: 'arg2', type: 'u32' },
  { name: 'arg3', type: 'u32' },
];

/** Keys of the schema's metadata. */
export const META_FORMAT = 'ioreq-trace.format';
export const META_SOURCE = 'ioreq-trace.source';

export const eventFileName = (id: string): string => `events-${id}.arrows`;
export const recordingFileName = (id: string): string => `recording-${id}.arrows`;
