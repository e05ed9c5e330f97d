import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { DeviceModel, RegisterBus } from '../device.ts';
import { RamBanks } from '../guest-memory.ts';
import { EmptySlot } from '../transport/empty-slot.ts';
import { VirtioMmio } from '../transport/virtio-mmio.ts';

/** Recordings of real device models, JSON lines; the format is told in the README beside them. */
const SHARED = new URL('../../../shared/captures/', import.meta.url).pathname;

export function recordingPresent(name: string): boolean {
  const present = existsSync(`${SHARED}${name}.xz`);
  if (!present) console.warn(`SKIPPED: replay of ${name}, because it is not on this machine`);
  return present;
}

export function unpacked(name: string): Buffer {
  return execFileSync('xz', ['-dc', `${SHARED}${name}.xz`], { maxBuffer: 1 << 28 });
}

export interface UsedElement {
  id: number;
  len: number;
  bufs: [gpa: number, base64: string][];
}

interface UsedRing {
  q: number;
  /** Address of the used ring, its index after these elements, and the queue's size. */
  used: number;
  idx: number;
  num: number;
  el: UsedElement[];
}

type Line =
  | { t: 'R' | 'W'; i: number; a: number; s: number; v: number }
  | { t: 'M'; i: number; a: number; n: number; b: string }
  | { t: 'N'; i: number; d: number; q: number; late: [number, number][] }
  | { t: 'U'; i: number; d: number; q: number }
  | { t: 'X'; i: number; d: number; u: UsedRing[] }
  | { t: 'I'; i: number; irq: number; l: number };

export interface Plugged {
  model: DeviceModel;
  /** Makes happen what came from outside the guest before these elements could be used (frames, input, order). */
  outside?: (queue: number, elements: readonly UsedElement[]) => void;
}

export interface ReplayResult {
  reads: number;
  usedElements: number;
  writtenBytes: number;
  /** Interrupt line calls, as [SPI offset, level], and those recorded (live recordings only). */
  levels: [number, number][];
  recordedLevels: [number, number][];
  /** First differences, readable. */
  differences: string[];
}

/**
 * Feeds a recording to device models, transport n = slot n of `base`, and compares all that it holds. With
 * `renewEvery` each device is saved, reset and restored after so many lines: what is not in its state is lost.
 */
export function replay(
  text: string,
  version: 1 | 2,
  base: number,
  slots: readonly Plugged[],
  renewEvery = Infinity,
): ReplayResult & { devices: VirtioMmio[] } {
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
  const memory = ramFor(lines);
  const levels: [number, number][] = [];
  const devices = slots.map(
    ({ model }, slot) =>
      new VirtioMmio({ version, model, memory, line: { set: (level) => levels.push([slot, level]) } }),
  );
  const empty: RegisterBus = new EmptySlot(version);
  const result: ReplayResult = {
    reads: 0,
    usedElements: 0,
    writtenBytes: 0,
    levels,
    recordedLevels: [],
    differences: [],
  };
  const differ = (i: number, what: string, expected: unknown, got: unknown): void => {
    if (result.differences.length < 20)
      result.differences.push(`step ${i}: ${what}: recorded ${String(expected)}, got ${String(got)}`);
  };
  const kick = (slot: number, queue: number): void => {
    devices[slot]!.write(0x50, 4, queue);
  };
  for (const [n, line] of lines.entries()) {
    if (n % renewEvery === renewEvery - 1)
      for (const device of devices) {
        const saved = device.save();
        device.reset();
        device.restore(saved);
      }
    switch (line.t) {
      case 'R':
      case 'W': {
        const slot = (line.a - base) >>> 9;
        const offset = (line.a - base) & 0x1ff;
        if (line.t === 'W') {
          (devices[slot] ?? empty).write(offset, line.s, line.v);
          break;
        }
        result.reads++;
        const got = (devices[slot] ?? empty).read(offset, line.s);
        if (got !== line.v) differ(line.i, `slot ${slot} register 0x${offset.toString(16)}`, line.v, got);
        break;
      }
      case 'M':
        memory.view(line.a, line.n).set(Buffer.from(line.b, 'base64'));
        break;
      case 'N':
        for (const [queue] of line.late) kick(line.d, queue);
        break;
      case 'U':
        kick(line.d, line.q);
        break;
      case 'X':
        for (const ring of line.u) {
          slots[line.d]!.outside?.(ring.q, ring.el);
          compareRing(memory, line.i, ring, result, differ);
        }
        break;
      case 'I':
        result.recordedLevels.push([line.irq, line.l]);
        break;
    }
  }
  return { ...result, devices };
}

function compareRing(
  memory: RamBanks,
  i: number,
  ring: UsedRing,
  result: ReplayResult,
  differ: (i: number, what: string, expected: unknown, got: unknown) => void,
): void {
  for (const [k, element] of ring.el.entries()) {
    const index = (ring.idx - ring.el.length + k) & 0xffff;
    const entry = ring.used + 4 + 8 * (index % ring.num);
    result.usedElements++;
    const what = `queue ${ring.q} used element ${index}`;
    if (memory.u32(entry) !== element.id) differ(i, `${what} id`, element.id, memory.u32(entry));
    if (memory.u32(entry + 4) !== element.len) differ(i, `${what} len`, element.len, memory.u32(entry + 4));
    for (const [gpa, base64] of element.bufs) {
      const recorded = Buffer.from(base64, 'base64');
      result.writtenBytes += recorded.length;
      const got = memory.view(gpa, recorded.length);
      const at = recorded.findIndex((byte, n) => byte !== got[n]);
      if (at >= 0) differ(i, `${what} byte ${at} at 0x${gpa.toString(16)}`, recorded[at], got[at]);
    }
  }
  const idx = memory.u16(ring.used + 2);
  if (((idx - ring.idx) & 0xffff) >= 0x8000) differ(i, `queue ${ring.q} used index`, ring.idx, idx);
}

/** One bank that holds every address of the recording. */
function ramFor(lines: readonly Line[]): RamBanks {
  let low = Infinity;
  let high = 0;
  const take = (gpa: number, length: number): void => {
    low = Math.min(low, gpa);
    high = Math.max(high, gpa + length);
  };
  for (const line of lines) {
    if (line.t === 'M') take(line.a, line.n);
    if (line.t !== 'X') continue;
    for (const ring of line.u) {
      take(ring.used, 6 + 8 * ring.num);
      for (const { bufs } of ring.el)
        for (const [gpa, base64] of bufs) take(gpa, Buffer.byteLength(base64, 'base64'));
    }
  }
  const base = Math.floor(low / 4096) * 4096;
  // Buffers that the device never wrote (receive rings) may lie beyond what the recording shows.
  return new RamBanks([
    {
      base: Math.min(base, 0x4000_0000),
      bytes: new Uint8Array(Math.max(high, 0x5000_0000) - Math.min(base, 0x4000_0000)),
    },
  ]);
}
