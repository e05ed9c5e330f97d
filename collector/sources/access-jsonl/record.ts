import { REC_TAG, type RecordingBatch } from '../../../trace/recording.ts';
import { scanDecimal, ScanArgs } from '../qemu/scan.ts';
import { eachElement, eachMember, LineFault, skipSpace, type Member } from './json-scan.ts';

/** One queue of an X record: its used ring, index there now. */
export interface UsedQueue {
  queue: number;
  usedLo: number;
  usedHi: number;
  index: number;
}

/** Members with a column, by tag, in the order in which a writer puts them; all but `c` must be there. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  R: ['a', 's', 'v', 'c'],
  W: ['a', 's', 'v', 'c'],
  M: ['a', 'n', 'b'],
  N: ['d', 'q', 'adv'],
  U: ['d', 'q', 'adv'],
  X: ['d'],
  I: ['irq', 'l'],
};

/** Largest value of a numeric member; u64 where none is named. */
const MAX: Readonly<Record<string, number>> = {
  i: 0xffffffff,
  c: 0xfffe,
  d: 0xfffe,
  q: 0xfffe,
  adv: 0xffffffff,
  n: 0x10000000,
  irq: 0xffffffff,
  l: 1,
};

const SLOT = ['i', 'a', 's', 'v', 'c', 'n', 'd', 'q', 'adv', 'irq', 'l'] as const;
type NumberField = (typeof SLOT)[number];

/**
 * Reads one line of the access format (docs/ACCESS-JSONL.md). Integers are exact to 64 bits. A line that is
 * not a valid record throws LineFault with the place and what should have been there.
 */
export class AccessLine {
  /** The tag as written. */
  tag = '';
  /** Queues of an X record. */
  readonly used: UsedQueue[] = [];
  private readonly numbers = new ScanArgs();
  private readonly seen = new Uint8Array(SLOT.length);
  private readonly rest: string[] = [];
  private payload: Uint8Array | undefined;
  private payloadAt = 0;
  private usedAt = -1;

  /** Parses `text` and appends one row to `out`, which is not full. */
  parse(text: string, out: RecordingBatch): number {
    this.seen.fill(0);
    this.rest.length = 0;
    this.used.length = 0;
    this.payload = undefined;
    this.usedAt = -1;
    this.tag = findTag(text);
    const fields = this.tag.length === 1 ? FIELDS[this.tag] : undefined;
    if (fields === undefined) return this.other(text, out);
    const end = eachMember(text, 0, (member) => {
      this.member(text, member, fields);
    });
    expectEnd(text, end);
    this.require(fields, end - 1);
    return this.push(out);
  }

  private member(text: string, member: Member, fields: readonly string[]): void {
    const { key, valueAt, valueEnd } = member;
    if (key === 't') return;
    if (key === 'b' && fields.includes('b')) {
      if (this.payload !== undefined) throw new LineFault(member.keyAt, 'each member once');
      this.payload = base64(text, valueAt, valueEnd);
      this.payloadAt = valueAt;
    } else if (key === 'i' || fields.includes(key)) {
      this.number(text, member, SLOT.indexOf(key as NumberField));
    } else {
      if (key === 'u' && this.tag === 'X') {
        if (this.usedAt >= 0) throw new LineFault(member.keyAt, 'each member once');
        this.usedAt = valueAt;
        this.usedQueues(text, valueAt);
      }
      this.rest.push(
        `${text.slice(member.keyAt, member.keyAt + keyLength(text, member))}:${text.slice(valueAt, valueEnd)}`,
      );
    }
  }

  private number(text: string, member: Member, slot: number): void {
    if (this.seen[slot] !== 0) throw new LineFault(member.keyAt, 'each member once');
    this.seen[slot] = 1;
    readInteger(text, member, this.numbers, slot, MAX[member.key]);
    if (member.key === 's' && ![1, 2, 4, 8].includes(this.low('s'))) {
      throw new LineFault(member.valueAt, 'an access size of 1, 2, 4 or 8');
    }
  }

  private usedQueues(text: string, at: number): void {
    const scratch = new ScanArgs();
    eachElement(text, at, (elementAt) => {
      let mask = 0;
      eachMember(text, elementAt, (member) => {
        const slot = ['q', 'used', 'idx'].indexOf(member.key);
        if (slot < 0) return;
        if ((mask & (1 << slot)) !== 0) throw new LineFault(member.keyAt, 'each member once');
        mask |= 1 << slot;
        readInteger(text, member, scratch, slot, [0xfffe, undefined, 0xffff][slot]);
      });
      if (mask !== 7) throw new LineFault(elementAt, 'q, used and idx in every element of u');
      const { lo, hi } = scratch;
      this.used.push({ queue: lo[0]!, usedLo: lo[1]!, usedHi: hi[1]!, index: lo[2]! });
    });
  }

  private require(fields: readonly string[], at: number): void {
    for (const field of ['i', ...fields]) {
      const there = field === 'b' ? this.payload !== undefined : this.has(field as NumberField);
      if (!there && field !== 'c') throw new LineFault(at, `member "${field}" of a ${this.tag} record`);
    }
    if (this.tag === 'X' && this.usedAt < 0) throw new LineFault(at, 'member "u" of a X record');
    if (this.payload !== undefined && this.payload.length !== this.low('n')) {
      throw new LineFault(this.payloadAt, `base64 of ${this.low('n')} bytes, not of ${this.payload.length}`);
    }
  }

  private push(out: RecordingBatch): number {
    const row = out.push(this.tag.charCodeAt(0), this.low('i'), this.rest.join(','), this.payload);
    const { lo, hi } = this.numbers;
    const addrFrom = this.tag === 'I' ? SLOT.indexOf('irq') : this.has('a') ? SLOT.indexOf('a') : -1;
    const valueFrom = this.tag === 'I' ? SLOT.indexOf('l') : this.has('v') ? SLOT.indexOf('v') : -1;
    if (addrFrom >= 0) out.addr.set([lo[addrFrom]!, hi[addrFrom]!], 2 * row);
    if (valueFrom >= 0) out.value.set([lo[valueFrom]!, hi[valueFrom]!], 2 * row);
    out.size[row] = this.has('s') ? this.low('s') : this.has('n') ? this.low('n') : 0;
    if (this.has('c')) out.vcpu[row] = this.low('c');
    if (this.has('d')) out.transport[row] = this.low('d');
    if (this.has('q')) out.queue[row] = this.low('q');
    if (this.has('adv')) out.adv[row] = this.low('adv');
    return row;
  }

  /** A record of another tag is kept as its text; its step is taken if it is a plain one. */
  private other(text: string, out: RecordingBatch): number {
    let step = 0;
    const members: string[] = [];
    const end = eachMember(text, 0, (member) => {
      const value = text.slice(member.valueAt, member.valueEnd);
      if (member.key === 'i' && /^\d{1,10}$/u.test(value)) step = Math.min(Number(value), 0xffffffff);
      members.push(`${text.slice(member.keyAt, member.keyAt + keyLength(text, member))}:${value}`);
    });
    expectEnd(text, end);
    return out.push(REC_TAG.OTHER, step, members.join(','));
  }

  private has(field: NumberField): boolean {
    return this.seen[SLOT.indexOf(field)] !== 0;
  }

  private low(field: NumberField): number {
    return this.numbers.lo[SLOT.indexOf(field)]!;
  }
}

/** Length of the member's key with its quotes: everything up to the last quote before the value's colon. */
function keyLength(text: string, member: Member): number {
  return text.lastIndexOf('"', member.valueAt - 1) + 1 - member.keyAt;
}

function findTag(text: string): string {
  let tag: string | undefined;
  const end = eachMember(text, 0, (member) => {
    if (member.key !== 't') return;
    if (tag !== undefined) throw new LineFault(member.keyAt, 'each member once');
    if (text[member.valueAt] !== '"') throw new LineFault(member.valueAt, 'a tag (a string)');
    tag = JSON.parse(text.slice(member.valueAt, member.valueEnd)) as string;
  });
  if (tag === undefined) throw new LineFault(end - 1, 'member "t", the tag');
  return tag;
}

function expectEnd(text: string, end: number): void {
  const at = skipSpace(text, end);
  if (at < text.length) throw new LineFault(at, 'the end of the line');
}

/** A whole number without sign, fraction and exponent, at most `max` (2^64-1 if undefined). */
function readInteger(
  text: string,
  member: Member,
  into: ScanArgs,
  slot: number,
  max: number | undefined,
): void {
  const { valueAt, valueEnd, key } = member;
  const end = scanDecimal(text, valueAt, valueEnd, into, slot);
  if (end !== valueEnd || (max !== undefined && (into.hi[slot]! > 0 || into.lo[slot]! > max))) {
    throw new LineFault(valueAt, `a whole number from 0 to ${max ?? '2^64-1'} for "${key}"`);
  }
}

/** The bytes of a base64 string (RFC 4648, section 4), which must be in its one canonical spelling. */
function base64(text: string, at: number, end: number): Uint8Array {
  const last = end - 1;
  if (text[at] !== '"' || (end - at - 2) % 4 !== 0) throw new LineFault(at, 'base64 text');
  const padding = end - at < 4 || text[last - 1] !== '=' ? 0 : text[last - 2] === '=' ? 2 : 1;
  for (let i = at + 1; i < last - padding; i++) {
    if (ALPHABET[text.charCodeAt(i)] !== 1) throw new LineFault(i, 'base64 text');
  }
  const bytes = Buffer.from(text.slice(at + 1, last), 'base64');
  const tail = bytes.length - (bytes.length % 3);
  if (padding > 0 && !text.startsWith(bytes.subarray(tail).toString('base64'), last - 4)) {
    throw new LineFault(last - 4, 'base64 text without stray bits at its end');
  }
  return bytes;
}

const ALPHABET = new Uint8Array(128);
for (const c of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/') {
  ALPHABET[c.charCodeAt(0)] = 1;
}
