import type { Socket } from 'node:net';
import type { RamFile } from './ram-file.ts';

/** Commands are sent when so many characters wait, or when somebody waits for them. */
const SEND_AT = 16_384;
const NOTHING = Buffer.alloc(0);
const READ = 0;
const WRITE = 1;
const OTHER = 2;
const WIDTH = ['', 'b', 'w', '', 'l', '', '', '', 'q'] as const;

export interface QtestListener {
  value(step: number, low: number, high: number): void;
  line(step: number, input: number, level: 0 | 1): void;
}

/** Commands that are sent together, and the guest memory to write once all of them are answered. */
interface Stage {
  text: string;
  /** Commands encoded up to the end of this stage. */
  upTo: number;
  memory: { gpa: number; bytes: Uint8Array }[];
}

/**
 * QEMU's qtest protocol, pipelined: one command a line, answers in order, lines that begin with IRQ anywhere
 * (qemu, system/qtest.c). Guest memory goes around it, straight into the shared file, but in order with the
 * writes: a write may make a device look at memory.
 */
export class Qtest {
  /** When QEMU last said something (Date.now()). */
  heard = Date.now();
  /** What QEMU said that cannot be. */
  failure: string | undefined;
  private readonly stream: Socket;
  private readonly ram: RamFile;
  private readonly listener: QtestListener;
  private text = '';
  private stages: Stage[] = [];
  /** Commands encoded, answered; of the last write its number + 1. */
  private encoded = 0;
  private answered = 0;
  private lastWrite = 0;
  /** By command number modulo their length: the step that it belongs to and its kind. */
  private steps = new Uint32Array(4096);
  private kinds = new Uint8Array(4096);
  private lastStep = 0;
  private rest: Buffer = NOTHING;
  private readonly others: ((answer: string) => void)[] = [];
  private waiting: (() => void)[] = [];

  constructor(stream: Socket, ram: RamFile, listener: QtestListener) {
    this.stream = stream;
    this.ram = ram;
    this.listener = listener;
    stream.on('data', (chunk: Buffer) => {
      this.take(chunk);
    });
  }

  /** Commands that have not been answered. */
  get outstanding(): number {
    return this.encoded - this.answered;
  }

  /** The step that QEMU is at. */
  get step(): number {
    return this.outstanding > 0 ? this.steps[this.answered & (this.steps.length - 1)]! : this.lastStep;
  }

  /** Sizes 1, 2, 4, 8: anything else would make QEMU abort. */
  read(step: number, address: number, size: number): void {
    this.push(step, READ, `read${WIDTH[size]!} 0x${address.toString(16)}\n`);
  }

  write(step: number, address: number, size: number, low: number, high: number): void {
    const value =
      size === 8 && high !== 0
        ? (high >>> 0).toString(16) + (low >>> 0).toString(16).padStart(8, '0')
        : (size === 1 ? low & 0xff : size === 2 ? low & 0xffff : low >>> 0).toString(16);
    this.push(step, WRITE, `write${WIDTH[size]!} 0x${address.toString(16)} 0x${value}\n`);
    this.lastWrite = this.encoded;
  }

  /** Any other command; resolves to its whole answer line. */
  command(line: string): Promise<string> {
    return new Promise((done) => {
      this.others.push(done);
      this.push(this.lastStep, OTHER, `${line}\n`);
      this.send();
    });
  }

  /** Guest memory that must be in place before the next command, and not before the last write. Copies. */
  memory(gpa: number, bytes: Uint8Array): void {
    const last = this.stages.at(-1);
    if (last === undefined && this.answered >= this.lastWrite) this.ram.write(gpa, bytes);
    else if (last !== undefined && this.text === '') last.memory.push({ gpa, bytes: bytes.slice() });
    else {
      this.stages.push({
        text: this.text,
        upTo: this.encoded,
        memory: [{ gpa, bytes: bytes.slice() }],
      });
      this.text = '';
      this.send();
    }
  }

  /** Resolves when everything has been answered and every byte of memory written. */
  drained(): Promise<void> | undefined {
    this.send();
    if (this.outstanding === 0) return undefined;
    return new Promise((done) => this.waiting.push(done));
  }

  /** Lets go of those who wait: there will be no more answers. */
  end(): void {
    for (const done of this.waiting.splice(0)) done();
    for (const done of this.others.splice(0)) done('');
  }

  private push(step: number, kind: number, line: string): void {
    if (this.outstanding === this.steps.length) this.grow();
    const at = this.encoded++ & (this.steps.length - 1);
    this.steps[at] = step;
    this.kinds[at] = kind;
    this.text += line;
    if (this.text.length >= SEND_AT) this.send();
  }

  private grow(): void {
    const { steps, kinds } = this;
    this.steps = new Uint32Array(2 * steps.length);
    this.kinds = new Uint8Array(2 * steps.length);
    for (let n = this.answered; n < this.encoded; n++) {
      this.steps[n & (this.steps.length - 1)] = steps[n & (steps.length - 1)]!;
      this.kinds[n & (this.kinds.length - 1)] = kinds[n & (kinds.length - 1)]!;
    }
  }

  /** Sends what may be sent: the first stage, and when all of it is answered, the next. */
  private send(): void {
    for (let stage = this.stages[0]; stage !== undefined; stage = this.stages[0]) {
      if (stage.text !== '') this.stream.write(stage.text, 'latin1');
      stage.text = '';
      if (this.answered < stage.upTo) return;
      for (const { gpa, bytes } of stage.memory) this.ram.write(gpa, bytes);
      this.stages.shift();
    }
    if (this.text === '') return;
    this.stream.write(this.text, 'latin1');
    this.text = '';
  }

  private take(chunk: Buffer): void {
    this.heard = Date.now();
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    let start = 0;
    for (;;) {
      const end = this.lineEnd(bytes, start);
      if (end < 0) break;
      this.line(bytes, start, end);
      start = end + 1;
    }
    this.rest = start === bytes.length ? NOTHING : bytes.subarray(start);
    if (this.stages.length > 0) this.send();
    if (this.outstanding === 0) for (const done of this.waiting.splice(0)) done();
  }

  /** Where the line ends: nearly always it is as long as the answer to the oldest command is. */
  private lineEnd(bytes: Buffer, start: number): number {
    const end =
      start + (this.kinds[this.answered & (this.kinds.length - 1)] === READ ? READ_ANSWER : WRITE_ANSWER);
    return bytes[start] === LETTER_O && bytes[end] === LINE_END ? end : bytes.indexOf(LINE_END, start);
  }

  private line(bytes: Buffer, start: number, end: number): void {
    // "OK" or "IRQ raise N": the second letter tells them apart.
    if (bytes[start + 1] === LETTER_R && bytes[start] !== LETTER_E) {
      const [, change, input] = bytes.toString('latin1', start, end).split(' ');
      this.listener.line(this.step, Number(input), change === 'raise' ? 1 : 0);
      return;
    }
    if (this.outstanding === 0) {
      this.failure ??= `an answer that nobody asked for: ${bytes.toString('latin1', start, end)}`;
      return;
    }
    const at = this.answered++ & (this.steps.length - 1);
    const step = this.steps[at]!;
    this.lastStep = step;
    const kind = this.kinds[at];
    if (kind === OTHER) {
      this.others.shift()?.(bytes.toString('latin1', start, end));
      return;
    }
    const length = end - start;
    if (bytes[start] !== LETTER_O || length !== (kind === READ ? READ_ANSWER : WRITE_ANSWER)) {
      this.failure ??= bytes.toString('latin1', start, end);
      return;
    }
    if (kind === READ) this.listener.value(step, hex8(bytes, start + 13), hex8(bytes, start + 5));
  }
}

/** Bytes of "OK 0x" and 16 digits, of "OK". */
const READ_ANSWER = 21;
const WRITE_ANSWER = 2;
const LINE_END = 10;
const LETTER_E = 0x45;
const LETTER_O = 0x4f;
const LETTER_R = 0x52;

/** Eight hexadecimal digits, lower case. */
function hex8(bytes: Buffer, at: number): number {
  let value = 0;
  for (let i = at; i < at + 8; i++) {
    const c = bytes[i]!;
    value = (value << 4) | (c < 0x3a ? c - 0x30 : c - 0x57);
  }
  return value >>> 0;
}
