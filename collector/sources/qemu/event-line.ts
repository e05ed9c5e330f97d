import type { EventBatch } from '../../../trace/columns.ts';
import { EVENT } from '../../../trace/events.ts';
import { NO_DOMID, NO_VCPU } from '../../../trace/ids.ts';
import type { StringTable } from '../../../trace/strings.ts';
import { QEMU_EVENTS } from './event-table.ts';
import { matchFormat, ScanArgs } from './scan.ts';

/** The text is no trace event. */
export const NO_EVENT = -1;
/** The name is one of QEMU_EVENTS and what follows is not its arguments: a damaged or foreign line. */
export const BAD_EVENT = -2;

/** Distinct names of unknown events that are kept apart; all further ones share OVERFLOW_NAME. */
const MAX_NAMES = 4096;
const OVERFLOW_NAME = '(other event)';
const MAX_NAME_CHARS = 127;
const SLOTS = 16_384;

/**
 * Parses QEMU trace events as the log and ftrace backends print them: `name arguments`, the event's name,
 * one space, its format. Every accepted text appends exactly one row; anything else appends none.
 *
 * An event of QEMU_EVENTS must match its format to the last character. An event that is not among them is
 * told from other text by its shape only: an identifier with an underscore that starts with a lower-case
 * letter, then nothing or a space, and no control character in the rest of the line. It becomes DM_OTHER.
 */
export class QemuEventParser {
  /** Event names by the number that `parse` gives; those of QEMU_EVENTS first. */
  readonly names: string[] = QEMU_EVENTS.map((s) => s.name);
  private readonly strings: StringTable;
  private readonly args = new ScanArgs();
  /** Open hash table of numbers into `names`, -1 = free: no Map operation and no substring per event. */
  private readonly slots = new Int16Array(SLOTS).fill(-1);
  /** StringTable number by number into `names`; -1 = not interned yet. */
  private readonly interned = new Int32Array(QEMU_EVENTS.length + MAX_NAMES + 1).fill(-1);

  constructor(strings: StringTable) {
    this.strings = strings;
    for (let id = 0; id < QEMU_EVENTS.length; id++) {
      const name = this.names[id]!;
      let slot = hash(name, 0, name.length);
      while (this.slots[slot] !== -1) slot = (slot + 1) % SLOTS;
      this.slots[slot] = id;
    }
  }

  /** Parses text[start, end), which has no line end. Gives the event's number, NO_EVENT or BAD_EVENT. */
  parse(
    text: string,
    start: number,
    end: number,
    out: EventBatch,
    ts: number,
    cpu: number,
    pid: number,
  ): number {
    const nameEnd = endOfName(text, start, end);
    if (nameEnd < 0) return NO_EVENT;
    const slot = this.find(text, start, nameEnd);
    let id = this.slots[slot]!;
    const argsAt = nameEnd < end ? nameEnd + 1 : end;
    if (id >= 0 && id < QEMU_EVENTS.length) {
      const spec = QEMU_EVENTS[id]!;
      if (!matchFormat(spec.format, text, argsAt, end, this.args)) return BAD_EVENT;
      if (spec.valid !== undefined && !spec.valid(this.args)) return BAD_EVENT;
      const row = out.push(ts, spec.kind, cpu, NO_DOMID, NO_VCPU, pid);
      spec.put(out, row, this.args);
      if (spec.kind === EVENT.DM_OTHER.id) out.arg0[row] = this.stringOf(id);
      return id;
    }
    if (hasControl(text, argsAt, end)) return NO_EVENT;
    if (id < 0) id = this.learn(text.slice(start, nameEnd), slot);
    const row = out.push(ts, EVENT.DM_OTHER.id, cpu, NO_DOMID, NO_VCPU, pid);
    out.arg0[row] = this.stringOf(id);
    return id;
  }

  /** Slot of the name, or the free slot where it belongs. */
  private find(text: string, start: number, end: number): number {
    let slot = hash(text, start, end);
    for (;;) {
      const id = this.slots[slot]!;
      if (id < 0 || isName(this.names[id]!, text, start, end)) return slot;
      slot = (slot + 1) % SLOTS;
    }
  }

  private learn(name: string, slot: number): number {
    const overflow = QEMU_EVENTS.length + MAX_NAMES;
    if (this.names.length >= overflow) {
      this.names[overflow] = OVERFLOW_NAME;
      return overflow;
    }
    const id = this.names.length;
    // A copy of its own: a slice would keep the whole chunk of text alive.
    this.names.push(Buffer.from(name, 'latin1').toString('latin1'));
    this.slots[slot] = id;
    return id;
  }

  private stringOf(id: number): number {
    let at = this.interned[id]!;
    if (at < 0) {
      at = this.strings.intern(this.names[id]!);
      this.interned[id] = at;
    }
    return at;
  }
}

let lastParser: QemuEventParser | undefined;
let lastStrings: StringTable | undefined;
const parsers = new WeakMap<StringTable, QemuEventParser>();

/**
 * Appends the row of one event given as a text of its own (optional newline at its end) and gives the
 * event's name; undefined and no row if the text is no event or a damaged one, which `isDamagedEvent` tells
 * apart. The caller has checked that `out` is not full.
 */
export function appendQemuEvent(
  text: string,
  out: EventBatch,
  ts: number,
  cpu: number,
  pid: number,
  strings: StringTable,
): string | undefined {
  if (lastParser === undefined || lastStrings !== strings) {
    lastParser = parsers.get(strings) ?? new QemuEventParser(strings);
    lastStrings = strings;
    parsers.set(strings, lastParser);
  }
  const id = lastParser.parse(text, 0, endOfLine(text), out, ts, cpu, pid);
  return id < 0 ? undefined : lastParser.names[id];
}

const KNOWN_NAMES = new Set(QEMU_EVENTS.map((s) => s.name));

/** Of a text that appendQemuEvent refused: whether it starts with the name of an event that it knows. */
export function isDamagedEvent(text: string): boolean {
  const nameEnd = endOfName(text, 0, endOfLine(text));
  return nameEnd >= 0 && KNOWN_NAMES.has(text.slice(0, nameEnd));
}

/** Length of `text` without one line end (LF or CR LF). */
function endOfLine(text: string): number {
  let end = text.length;
  if (end > 0 && text.charCodeAt(end - 1) === 0x0a) end--;
  if (end > 0 && text.charCodeAt(end - 1) === 0x0d) end--;
  return end;
}

/** Place after the identifier at `start` if it has the shape of an event's name, else -1. */
function endOfName(text: string, start: number, end: number): number {
  const first = start < end ? text.charCodeAt(start) : 0;
  if (first < 0x61 || first > 0x7a) return -1;
  let underscore = false;
  let i = start;
  for (; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x5f) underscore = true;
    else if (!((c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39) || (c >= 0x41 && c <= 0x5a))) break;
  }
  if (!underscore || i - start > MAX_NAME_CHARS) return -1;
  return i === end || text.charCodeAt(i) === 0x20 ? i : -1;
}

function isName(name: string, text: string, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) {
    if (name.charCodeAt(i) !== text.charCodeAt(start + i)) return false;
  }
  return true;
}

function hasControl(text: string, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c < 0x20 && c !== 0x09) return true;
  }
  return false;
}

/** FNV-1a over the characters, reduced to a slot. */
function hash(text: string, start: number, end: number): number {
  let h = 0x811c9dc5;
  for (let i = start; i < end; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return (h ^ (h >>> 15)) & (SLOTS - 1);
}
