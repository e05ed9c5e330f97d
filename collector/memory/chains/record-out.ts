import { createHash } from 'node:crypto';
import { REC_TAG, RecordingBatch } from '../../../trace/recording.ts';
import type { ReadGuest } from './guest.ts';

/** Why a replay needs a piece of memory (docs/ACCESS-JSONL.md, record M). */
export type Why = 'desc' | 'avail' | 'out' | 'gpuback';

/** Most bytes of one M record: in base64 a line stays far below the 16 MiB that readers take. */
const MOST = 4 << 20;

export interface RecordOutOptions {
  read: ReadGuest;
  /** Takes the rows; the batch is cleared when it returns. */
  flush: (batch: RecordingBatch) => void;
  /** False: lengths and hashes instead of the contents of buffers. */
  contents: boolean;
}

/** Numbers records and hands them on in batches. */
export class RecordOut {
  step = 0;
  private readonly batch = new RecordingBatch(1024);
  private readonly options: RecordOutOptions;

  constructor(options: RecordOutOptions) {
    this.options = options;
  }

  flush(): void {
    if (this.batch.length === 0) return;
    this.options.flush(this.batch);
    this.batch.clear();
  }

  private row(tag: number, rest: string, payload?: Uint8Array): number {
    if (this.batch.full || this.batch.byteLength > MOST) this.flush();
    return this.batch.push(tag, this.step++, rest, payload);
  }

  access(
    tag: typeof REC_TAG.READ | typeof REC_TAG.WRITE,
    vcpu: number,
    addr: number,
    size: number,
    low: number,
    high: number,
    rest: string,
  ): void {
    const i = this.row(tag, rest);
    const { batch } = this;
    setAddr(batch, i, addr);
    batch.size[i] = size;
    batch.value[2 * i] = low;
    batch.value[2 * i + 1] = high;
    batch.vcpu[i] = vcpu;
  }

  /** What is in memory at [gpa, gpa + length) now; false if not all of it is RAM. */
  memory(gpa: number, length: number, why: Why): boolean {
    for (let at = 0; at < length; at += MOST) {
      const bytes = this.options.read(gpa + at, Math.min(MOST, length - at));
      if (bytes === undefined) return false;
      this.bytes(gpa + at, bytes, why);
    }
    return true;
  }

  bytes(gpa: number, bytes: Uint8Array, why: Why): void {
    if (!this.options.contents && (why === 'out' || why === 'gpuback')) {
      this.hashed(gpa, bytes, why);
      return;
    }
    const i = this.row(REC_TAG.MEMORY, `"why":"${why}"`, bytes);
    setAddr(this.batch, i, gpa);
    this.batch.size[i] = bytes.length;
  }

  private hashed(gpa: number, bytes: Uint8Array, why: Why): void {
    const text = `"t":"H","a":${gpa},"n":${bytes.length},"why":"${why}","sha":"${sha(bytes)}"`;
    this.row(REC_TAG.OTHER, `${text},"i":${this.step}`);
  }

  notify(transport: number, queue: number, adv: number, late: readonly (readonly [number, number])[]): void {
    this.queueRow(REC_TAG.NOTIFY, transport, queue, adv, `"late":${JSON.stringify(late)}`);
  }

  kick(transport: number, queue: number, adv: number): void {
    this.queueRow(REC_TAG.KICK, transport, queue, adv, '');
  }

  private queueRow(tag: number, transport: number, queue: number, adv: number, rest: string): void {
    const i = this.row(tag, rest);
    this.batch.transport[i] = transport;
    this.batch.queue[i] = queue;
    this.batch.adv[i] = adv;
  }

  /** `queues` are the texts of the elements of `u`. */
  used(transport: number, queues: readonly string[], at: string): void {
    const where = at === '' ? '' : `,"at":"${at}"`;
    const i = this.row(REC_TAG.USED, `"u":[${queues.join(',')}]${where}`);
    this.batch.transport[i] = transport;
  }

  line(spi: number, level: 0 | 1): void {
    const i = this.row(REC_TAG.IRQ, '');
    setAddr(this.batch, i, spi);
    this.batch.value[2 * i] = level;
  }

  /** A buffer that the device has written, as it stands in an element of X; undefined where there is no RAM. */
  written(gpa: number, length: number): string | undefined {
    const bytes = this.options.read(gpa, length);
    if (bytes === undefined) return undefined;
    return this.options.contents
      ? `[${gpa},"${Buffer.from(bytes).toString('base64')}"]`
      : `[${gpa},${length},"${sha(bytes)}"]`;
  }

  /** The member of an element of X that holds what `written` gives. */
  get writtenMember(): string {
    return this.options.contents ? 'bufs' : 'sha';
  }
}

function setAddr(batch: RecordingBatch, i: number, addr: number): void {
  batch.addr[2 * i] = addr >>> 0;
  batch.addr[2 * i + 1] = Math.floor(addr / 0x1_0000_0000);
}

function sha(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
