import type { StringTable } from '../../../trace/strings.ts';

const SLOTS = 4096;
const HINTS = 256;

/**
 * Interns text that lies as bytes in a record: equal bytes are found by hash and comparison, so that text
 * which repeats is decoded once and costs no string per event.
 */
export class ByteStrings {
  private readonly strings: StringTable;
  private readonly ids = new Int32Array(SLOTS).fill(-1);
  /** By the low bits of a hint: what text came with it last, as index into `kept`. */
  private readonly hints = new Int32Array(HINTS).fill(-1);
  private readonly kept: Uint8Array[] = [];
  private readonly keptIds: number[] = [];

  constructor(strings: StringTable) {
    this.strings = strings;
  }

  /** As `intern`, for texts that mostly go with one number, as a handler's name does with its interrupt. */
  internLike(hint: number, bytes: Uint8Array, start: number, end: number): number {
    const last = this.hints[hint & (HINTS - 1)]!;
    if (last >= 0 && begins(this.kept[last]!, bytes, start, end)) return this.keptIds[last]!;
    const id = this.intern(bytes, start, end);
    this.hints[hint & (HINTS - 1)] = this.keptIds.indexOf(id);
    return id;
  }

  /** Number in the string table of bytes[start, end) up to the first NUL, read as UTF-8. */
  intern(bytes: Uint8Array, start: number, end: number): number {
    let hash = 0x811c9dc5;
    let stop = start;
    for (; stop < end; stop++) {
      const byte = bytes[stop]!;
      if (byte === 0) break;
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
    for (let slot = (hash >>> 8) % SLOTS, tries = 0; tries < 8; tries++) {
      const kept = this.ids[slot]!;
      if (kept < 0) return this.keep(bytes, start, stop, slot);
      if (same(this.kept[kept]!, bytes, start, stop)) return this.keptIds[kept]!;
      slot = (slot + 1) % SLOTS;
    }
    // A crowded table (hostile input): still right, only slower.
    return this.strings.intern(utf8.decode(bytes.subarray(start, stop)));
  }

  private keep(bytes: Uint8Array, start: number, stop: number, slot: number): number {
    const text = bytes.slice(start, stop);
    const id = this.strings.intern(utf8.decode(text));
    this.ids[slot] = this.kept.length;
    this.kept.push(text);
    this.keptIds.push(id);
    return id;
  }
}

function same(kept: Uint8Array, bytes: Uint8Array, start: number, stop: number): boolean {
  if (kept.length !== stop - start) return false;
  for (let i = 0; i < kept.length; i++) if (kept[i] !== bytes[start + i]) return false;
  return true;
}

/** bytes[start, end) is `kept`, then its end or a NUL. */
function begins(kept: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  const stop = start + kept.length;
  if (stop > end || (stop < end && bytes[stop] !== 0)) return false;
  for (let i = 0; i < kept.length; i++) if (kept[i] !== bytes[start + i]) return false;
  return true;
}

const utf8 = new TextDecoder('utf-8', { fatal: false });
