/** Numbers as people read them. Nothing here depends on the machine's locale. */

/** 1,234,567. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}

const TIME = [
  { least: 1e9, unit: 's' },
  { least: 1e6, unit: 'ms' },
  { least: 1e3, unit: 'µs' },
  { least: 0, unit: 'ns' },
] as const;

/** A duration in ns in the unit that fits, four digits: 16 ns, 28.55 µs, 82.18 s. A missing one is '-'. */
export function duration(ns: number): string {
  if (!Number.isFinite(ns)) return '-';
  const size = Math.abs(ns);
  // 999.96 µs would be shown as 1000 µs: rounding may reach the next unit.
  const scale = TIME.find(({ least }) => size >= least * 0.99995) ?? TIME[3];
  return `${digits(ns / (scale.least || 1))} ${scale.unit}`;
}

/** Hz, kHz, MHz, GHz. */
export function frequency(hz: number): string {
  if (hz >= 1e9) return `${digits(hz / 1e9)} GHz`;
  if (hz >= 1e6) return `${digits(hz / 1e6)} MHz`;
  if (hz >= 1e3) return `${digits(hz / 1e3)} kHz`;
  return `${digits(hz)} Hz`;
}

/** B, KiB, MiB, GiB. */
export function bytes(value: number): string {
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < BYTE_UNITS.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${digits(size)} ${BYTE_UNITS[unit]!}`;
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function hex(value: number, width = 8): string {
  return `0x${value.toString(16).padStart(width, '0')}`;
}

/** Four significant digits, whole numbers whole. */
function digits(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toString();
  return String(Number(value.toPrecision(4)));
}
