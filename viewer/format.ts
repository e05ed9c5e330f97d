import { DIR_READ, DIR_WRITE } from '../trace/ioreq.ts';
import { NO_DEVICE, NO_KEY, SPAN_FLAG, type SpanFamily } from '../trace/spans.ts';
import { registerName } from '../trace/virtio-mmio.ts';
import type { PageData } from '../analyzer/page/page-format.ts';
import type { Group } from './engine/table.ts';

export interface Unit {
  name: string;
  ns: number;
  digits: number;
}

const UNITS: readonly Unit[] = [
  { name: 'ns', ns: 1, digits: 0 },
  { name: 'µs', ns: 1e3, digits: 2 },
  { name: 'ms', ns: 1e6, digits: 3 },
  { name: 's', ns: 1e9, digits: 3 },
];

const unitOf = (ns: number): Unit => {
  const v = Math.abs(ns);
  // 999.96 µs would be written as 1000.0 µs: rounding may reach the next unit.
  return UNITS[v < 999.5 ? 0 : v < 999_950 ? 1 : v < 999_950_000 ? 2 : 3]!;
};

const MISSING = '–';
const integer = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** Thousands apart by a thin space, as SI asks. */
const grouped = (text: string): string => {
  const [whole = '', fraction] = text.split('.');
  const spaced = whole.replace(/\B(?=(\d{3})+$)/g, '\u2009');
  return fraction === undefined ? spaced : `${spaced}.${fraction}`;
};

export const count = (n: number): string => (Number.isFinite(n) ? grouped(String(Math.round(n))) : MISSING);
export const plainCount = (n: number): string => integer.format(n);

/** A duration with its own unit and four significant digits: 812 ns, 53.21 µs, 4.012 ms. */
export function duration(ns: number | null | undefined): string {
  if (ns === null || ns === undefined || Number.isNaN(ns)) return MISSING;
  const unit = unitOf(ns);
  const v = ns / unit.ns;
  const digits =
    unit.ns === 1
      ? Number.isInteger(v) || Math.abs(v) >= 100
        ? 0
        : 1
      : Math.abs(v) < 10
        ? 3
        : Math.abs(v) < 100
          ? 2
          : 1;
  return `${v.toFixed(digits)}\u202f${unit.name}`;
}

/** One unit for a column of durations, so that the decimal points stand below each other. */
export function columnUnit(values: readonly (number | null | undefined)[], narrow = false): Unit {
  const known = values.filter((v): v is number => typeof v === 'number' && Number.isFinite(v) && v !== 0);
  if (known.length === 0) return UNITS[1]!;
  const middle = known.reduce((sum, v) => sum + Math.log10(Math.abs(v)), 0) / known.length;
  const unit = unitOf(10 ** middle);
  // Four digits for the middle of the column, three for its least value; fewer where there is little room.
  const whole = (log: number): number => Math.floor(log - Math.log10(unit.ns)) + 1;
  const least = Math.min(...known.map((v) => Math.log10(Math.abs(v))));
  const wanted = Math.max(0, 4 - whole(middle), narrow ? 0 : 3 - whole(least));
  const wide = known.some((v) => Math.abs(v) >= 1000 * unit.ns);
  return { ...unit, digits: Math.min(unit.digits, wide && narrow ? 1 : 3, wanted) };
}

export function inUnit(ns: number | null | undefined, unit: Unit): string {
  if (ns === null || ns === undefined || !Number.isFinite(ns)) return MISSING;
  return grouped((ns / unit.ns).toFixed(unit.digits));
}

/** A point of time on the trace's axis, to the ns: 3.012 345 678 s. */
export function instant(ns: number): string {
  if (Number.isNaN(ns)) return 'not seen';
  const rounded = Math.round(ns);
  const seconds = Math.floor(rounded / 1e9);
  const rest = String(rounded - seconds * 1e9).padStart(9, '0');
  return `${grouped(String(seconds))}.${rest.slice(0, 3)}\u2009${rest.slice(3, 6)}\u2009${rest.slice(6)}\u202fs`;
}

/** A tick on a time axis whose ticks are `step` ns apart. */
export function timeTick(ns: number, step: number): string {
  const unit = step >= 1e8 ? UNITS[3]! : step >= 1e5 ? UNITS[2]! : UNITS[1]!;
  const digits = Math.max(0, Math.ceil(-Math.log10(step / unit.ns) - 1e-9));
  return `${grouped((ns / unit.ns).toFixed(Math.min(digits, 6)))}\u202f${unit.name}`;
}

/** A tick on a latency axis: 1 µs, 200 µs, 5 ms. */
export function latencyTick(ns: number): string {
  const unit = unitOf(ns);
  return `${String(Number((ns / unit.ns).toPrecision(3)))}\u202f${unit.name}`;
}

export function percent(fraction: number): string {
  if (!Number.isFinite(fraction)) return MISSING;
  const p = fraction * 100;
  if (p === 0 || p === 100) return `${p}\u202f%`;
  if (p > 99.9) return `${(Math.floor(p * 1000) / 1000).toFixed(3)}\u202f%`;
  return `${p.toFixed(p < 1 ? 2 : 1)}\u202f%`;
}

/** C0, C1, bidirectional and zero-width characters would move or hide text around a name: show them as codes. */

const UNPRINTABLE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

export function safeText(value: unknown): string {
  const text = typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
  return text
    .slice(0, 200)
    .replace(UNPRINTABLE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

export function deviceName(data: PageData, device: number): string {
  if (device === NO_DEVICE) return 'no device';
  const name = safeText(data.report.devices?.[device]?.name);
  return name === '' ? `device ${device}` : name;
}

export function keyName(family: SpanFamily, key: number): string {
  if (key === NO_KEY) return 'unknown';
  if (family === 'mmio') return registerName(key);
  return family === 'request' ? `queue ${key}` : `SPI ${key}`;
}

export function dirName(family: SpanFamily, dir: number): string {
  if (family === 'interrupt' || family === 'injection') return '';
  if (dir === DIR_READ) return family === 'mmio' ? 'read' : 'in';
  if (dir === DIR_WRITE) return family === 'mmio' ? 'write' : 'out';
  return '';
}

export const groupName = (data: PageData, family: SpanFamily, group: Group): string =>
  [
    deviceName(data, group.device),
    group.key < 0 ? '' : keyName(family, group.key),
    dirName(family, group.dir),
  ]
    .filter((t) => t !== '')
    .join(' ');

export const FAMILY_TITLE: Record<SpanFamily, string> = {
  mmio: 'MMIO accesses',
  interrupt: 'Interrupts',
  injection: 'Injections',
  request: 'Virtio requests',
};

export const FAMILY_UNIT: Record<SpanFamily, string> = {
  mmio: 'accesses',
  interrupt: 'interrupts',
  injection: 'injections',
  request: 'requests',
};

export const KEY_TITLE: Record<SpanFamily, string> = {
  mmio: 'Register',
  interrupt: 'Line',
  injection: 'Line',
  request: 'Queue',
};

const FLAG_TEXT: readonly [number, string][] = [
  [SPAN_FLAG.INCOMPLETE, 'incomplete'],
  [SPAN_FLAG.LOSS, 'records lost'],
  [SPAN_FLAG.NO_WAIT, 'no wait'],
  [SPAN_FLAG.KERNEL, 'in the kernel'],
  [SPAN_FLAG.INVALIDATE, 'map-cache invalidate'],
  [SPAN_FLAG.CUT, 'cut off'],
  [SPAN_FLAG.ONE_SIDED, 'one side only'],
];

export const flagNames = (flags: number): string[] =>
  FLAG_TEXT.filter(([bit]) => (flags & bit) !== 0).map(([, t]) => t);
