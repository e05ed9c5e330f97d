import { TraceError } from '../../trace/errors.ts';

/** What the script on the host tells (agent.ts), one call a frame. Bytes may be kept. */
export interface AgentEvents {
  /** The recorder's name on the host, as soon as it has one. */
  identity(id: string): void;
  /** Everything is set up; it waits for the word to begin. */
  ready(): void;
  /** Recording began, or ended: seconds since the host's boot. */
  began(uptime: number): void;
  halted(uptime: number): void;
  /** A round over all CPUs begins. */
  round(number: number, uptime: number): void;
  /** A CPU's ring buffer before it was drained. */
  stats(cpu: number, stats: BufferStats): void;
  /** A part of `pages` whole pages of a CPU; a frame comes in one or more parts, cut at page boundaries. */
  pages(cpu: number, bytes: Uint8Array): void;
  /** KiB of each CPU's buffer from now on. */
  buffer(kib: number): void;
  /** A text file of the host. */
  text(name: string, text: string): void;
  /** Asked for by a line on its stdin: recording paused, all CPUs were emptied, and it goes on. */
  cut(): void;
  processGone(pid: number): void;
  domainGone(): void;
  warning(text: string): void;
  /** Its last word: 'done', or why it could not go on. */
  end(reason: string): void;
}

export interface BufferStats {
  /** Events not read yet. */
  entries: number;
  /** Events overwritten since the beginning. */
  overrun: number;
  /** Bytes not read yet. */
  bytes: number;
  dropped: number;
}

/** Longest line of the protocol; longest text (a format, the probes, task names). */
const MAX_LINE = 4096;
const MAX_TEXT = 4 << 20;
const NEWLINE = 10;

/**
 * Takes the script's output apart, whatever the pieces it arrives in. Throws E_HOST at the first byte that is
 * outside the protocol; frames before it have been told.
 */
export class AgentFrames {
  private readonly events: AgentEvents;
  private readonly pageBytes: number;
  private readonly marker: string;
  /** Bytes of an unfinished line or page. */
  private held: Buffer = Buffer.alloc(0);
  private cpu = 0;
  private pagesLeft = 0;
  private textName: string | undefined;
  private textLines: string[] = [];
  private textBytes = 0;

  constructor(events: AgentEvents, pageBytes: number, marker: string) {
    this.events = events;
    this.pageBytes = pageBytes;
    this.marker = marker;
  }

  push(chunk: Buffer): void {
    const all = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
    let at = 0;
    for (;;) {
      if (this.pagesLeft > 0) {
        const whole = Math.min(this.pagesLeft, Math.floor((all.length - at) / this.pageBytes));
        if (whole === 0) break;
        const end = at + whole * this.pageBytes;
        this.pagesLeft -= whole;
        this.events.pages(this.cpu, all.subarray(at, end));
        at = end;
        continue;
      }
      const end = all.indexOf(NEWLINE, at);
      if (end < 0) {
        if (all.length - at > (this.textName === undefined ? MAX_LINE : MAX_TEXT)) throw outside(all, at);
        break;
      }
      this.line(all, at, end);
      at = end + 1;
    }
    // A copy: what is left is small, and the chunk need not stay.
    this.held = Buffer.from(all.subarray(at));
  }

  /** Bytes of a page or line that never came whole: 0 if the output ended where a frame ends. */
  get unfinished(): number {
    return this.held.length + (this.pagesLeft > 0 || this.textName !== undefined ? 1 : 0);
  }

  private line(all: Buffer, from: number, to: number): void {
    if (this.textName !== undefined) {
      this.textLine(this.textName, all, from, to);
      return;
    }
    // Told of a line that comes in one piece too: what is taken must not depend on the pieces.
    if (to - from > MAX_LINE) throw outside(all, from);
    if (!this.frame(all.toString('utf8', from, to))) throw outside(all, from);
  }

  /** One frame's line; false if there is no such frame. */
  private frame(line: string): boolean {
    const { events } = this;
    const letter = line.slice(0, 1);
    const rest = line.slice(2);
    const numbers = rest.split(' ').map((word) => (NUMBER.test(word) ? Number(word) : NaN));
    const [a = NaN, b = NaN] = numbers;
    const whole = (count: number): boolean =>
      numbers.length === count && numbers.every((n) => Number.isSafeInteger(n));
    if (line.length > 1 && line[1] !== ' ') return false;
    switch (letter) {
      case 'I':
        if (!/^ioreqtrace_\d+_\d+$/.test(rest)) return false;
        events.identity(rest);
        return true;
      case 'Y':
      case 'X':
      case 'C':
        if (line.length > 1) return false;
        if (letter === 'Y') events.ready();
        else if (letter === 'X') events.domainGone();
        else events.cut();
        return true;
      case 'G':
      case 'H':
        if (numbers.length !== 1 || !Number.isFinite(a)) return false;
        if (letter === 'G') events.began(a);
        else events.halted(a);
        return true;
      case 'R':
        if (numbers.length !== 2 || !Number.isInteger(a) || !Number.isFinite(b)) return false;
        events.round(a, b);
        return true;
      case 'S':
        if (!whole(5)) return false;
        this.stats(numbers);
        return true;
      case 'P':
        if (!whole(2) || b <= 0) return false;
        this.cpu = a;
        this.pagesLeft = b;
        return true;
      case 'B':
      case 'D':
        if (!whole(1) || a <= 0) return false;
        if (letter === 'B') events.buffer(a);
        else events.processGone(a);
        return true;
      case 'T':
        if (!SAFE_NAME.test(rest)) return false;
        this.textName = rest;
        this.textLines = [];
        this.textBytes = 0;
        return true;
      case 'W':
        events.warning(rest);
        return true;
      case 'E':
        events.end(rest);
        return true;
      default:
        return false;
    }
  }

  private textLine(name: string, all: Buffer, from: number, to: number): void {
    const line = all.toString('utf8', from, to);
    if (line !== this.marker) {
      this.textBytes += to - from + 1;
      if (this.textBytes > MAX_TEXT) throw outside(all, from);
      this.textLines.push(line);
      return;
    }
    this.textName = undefined;
    // The script ends a text with a newline of its own, since the file may end without one.
    const text = this.textLines.join('\n');
    this.events.text(name, text);
  }

  private stats(numbers: readonly number[]): void {
    const [cpu = 0, entries = 0, overrun = 0, bytes = 0, dropped = 0] = numbers;
    this.events.stats(cpu, { entries, overrun, bytes, dropped });
  }
}

const NUMBER = /^\d{1,16}(\.\d{1,9})?$/;

/** Names of files inside the raw directory: the script's own, and those of the kernel's events. */
const SAFE_NAME = /^(?!.*\.\.)[\w][\w./-]{0,200}$/;

function outside(all: Buffer, at: number): TraceError {
  return new TraceError('E_HOST', 'the recording script on the host printed something that it never does', {
    got: JSON.stringify(all.toString('latin1', at, at + 60)),
  });
}
