import { scanDecimal, ScanArgs } from './scan.ts';

/**
 * The stamp that `-msg timestamp=on` puts before a line of the log backend.
 *
 * Up to QEMU 10.1, `TID@SEC.USEC:` from gettimeofday (scripts/tracetool/backend/log.py); later, where
 * qemu_log itself stamps (util/log.c), `YYYY-MM-DDTHH:MM:SS[.USEC]Z ` in UTC without a thread id. Seconds
 * count from 1970.
 */
export class LogStamp {
  /** Thread id, -1 if the stamp has none. */
  tid = -1;
  sec = 0;
  usec = 0;
  private readonly number = new ScanArgs();

  /** Reads the stamp at `start`; gives the place after it, or `start` if there is none. */
  read(text: string, start: number, end: number): number {
    const c = start < end ? text.charCodeAt(start) : 0;
    if (c < 0x30 || c > 0x39) return start;
    return end - start > 10 && text.charCodeAt(start + 4) === MINUS && text.charCodeAt(start + 10) === 0x54
      ? this.readIso(text, start, end)
      : this.readClassic(text, start, end);
  }

  private readClassic(text: string, start: number, end: number): number {
    const { number } = this;
    const tidEnd = scanDecimal(text, start, end, number, 0);
    if (tidEnd < 0 || tidEnd >= end || text.charCodeAt(tidEnd) !== AT) return start;
    const secEnd = scanDecimal(text, tidEnd + 1, end, number, 1);
    if (secEnd < 0 || secEnd >= end || text.charCodeAt(secEnd) !== DOT) return start;
    const after = scanDecimal(text, secEnd + 1, end, number, 2);
    if (after !== secEnd + 7 || after >= end || text.charCodeAt(after) !== COLON) return start;
    const { lo, hi } = number;
    if (hi[0]! > 0 || lo[0]! > 0x7fffffff || hi[1]! > MAX_SEC_HI) return start;
    this.tid = lo[0]!;
    this.sec = hi[1]! * 0x100000000 + lo[1]!;
    this.usec = lo[2]!;
    return after + 1;
  }

  private readIso(text: string, start: number, end: number): number {
    // One short slice a line; the digits are fixed in place, so a pattern is the plainest check.
    const match = ISO.exec(text.slice(start, Math.min(end, start + 29)));
    if (match === null) return start;
    const ms = Date.parse(`${match[1] ?? ''}Z`);
    if (Number.isNaN(ms)) return start;
    this.tid = -1;
    this.sec = ms / 1000;
    this.usec = Number((match[2] ?? '').padEnd(6, '0'));
    return start + match[0].length;
  }
}

const ISO = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z /u;
const AT = 0x40;
const COLON = 0x3a;
const DOT = 0x2e;
const MINUS = 0x2d;
/** Seconds stay below 2^40, so that microseconds stay exact in a float64 after the epoch is taken off. */
const MAX_SEC_HI = 0xff;
