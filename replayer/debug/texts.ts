import type { Divergence } from '../result.ts';
import { hex } from './names.ts';
import type { StateDiff } from './state-diff.ts';

/** Emphasis; the texts are the same without. */
export interface Paint {
  bold: (text: string) => string;
  dim: (text: string) => string;
  red: (text: string) => string;
}

export const PLAIN: Paint = { bold: (text) => text, dim: (text) => text, red: (text) => text };

/** One line for what differs, and one for the bytes. */
export function divergenceLines(of: Divergence): string[] {
  const where = [
    of.device,
    ...(of.register === undefined ? [] : [of.register]),
    ...(of.queue === undefined ? [] : [`queue ${of.queue}`]),
    ...(of.element === undefined ? [] : [`used element ${of.element}`]),
    ...(of.id === undefined ? [] : [`(chain ${of.id})`]),
    of.field,
  ];
  const racy = of.racy === true ? ' (racy: it proves nothing)' : '';
  const lines = [`step ${of.step}: ${where.join(' ')}: recorded ${of.expected}, got ${of.got}${racy}`];
  if (of.memory !== undefined) {
    const { gpa, at, differing, length, start, expected, got } = of.memory;
    lines.push(
      `  ${differing} of ${length} bytes differ, the first at ${hex(gpa + at)}; from ${hex(gpa + start)}:`,
    );
    lines.push(`  recorded ${expected}`, `  got      ${got}`);
  }
  return lines;
}

const ROW = 16;

/** Lines of 16 bytes: address, hexadecimal, printable ASCII. */
export function hexdump(gpa: number, bytes: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += ROW) {
    const row = [...bytes.subarray(at, at + ROW)];
    const hexes = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${hex(gpa + at).padStart(12)}  ${hexes.padEnd(3 * ROW - 1)}  ${text}`);
  }
  return lines;
}

/** Most bytes of one stretch that a difference shows. */
const MOST_SHOWN = 32;

export function diffLines({ fields, memory }: StateDiff): string[] {
  if (fields.length === 0 && memory.length === 0) return ['nothing differs'];
  const lines = fields.map(
    ({ path, before, after }) => `${path}: ${before ?? 'not there'} -> ${after ?? 'not there'}`,
  );
  for (const { gpa, length, by, before, after } of memory) {
    lines.push(`memory ${hex(gpa)}+${length} (${by})`);
    lines.push(`  - ${bytesText(before)}`, `  + ${bytesText(after)}`);
  }
  return lines;
}

function bytesText(bytes: Uint8Array): string {
  const shown = [...bytes.subarray(0, MOST_SHOWN)]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join(' ');
  return bytes.length > MOST_SHOWN ? `${shown} ...` : shown;
}
