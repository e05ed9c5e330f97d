import { NO_VCPU } from './ids.ts';

/** Tags of the access format (docs/ACCESS-JSONL.md) as character codes. 0: a record of another tag. */
export const REC_TAG = {
  READ: 0x52,
  WRITE: 0x57,
  MEMORY: 0x4d,
  NOTIFY: 0x4e,
  KICK: 0x55,
  USED: 0x58,
  IRQ: 0x49,
  OTHER: 0,
} as const;

/** Where a record names no transport or queue. */
export const NO_TRANSPORT = 0xffff;
export const NO_QUEUE = 0xffff;

/**
 * A recording of accesses without loss, in order, one row a record: what a replay needs beside the event
 * rows, which cannot hold memory. Columns by tag (others hold 0, or NO_VCPU, NO_TRANSPORT, NO_QUEUE):
 *
 * R, W: addr, size, value, vcpu. M: addr, size = payload length, bytes. N, U: transport, queue, adv.
 * X: transport. I: addr = SPI, value = level. Every tag: step, rest.
 *
 * addr and value are 64-bit, two u32 halves, low first. `rest[i]` is the JSON text of the members that have
 * no column, without braces ('' if none): `"why":"desc"`, `"u":[...],"at":"notify"`; for REC_TAG.OTHER it is
 * the whole record.
 */
export class RecordingBatch {
  readonly capacity: number;
  length = 0;
  readonly step: Uint32Array;
  readonly tag: Uint8Array;
  readonly addr: Uint32Array;
  readonly size: Uint32Array;
  readonly value: Uint32Array;
  readonly vcpu: Uint16Array;
  readonly transport: Uint16Array;
  readonly queue: Uint16Array;
  readonly adv: Uint32Array;
  /** Payload of row i: bytes[bytesStart[i], bytesStart[i + 1]). */
  readonly bytesStart: Uint32Array;
  readonly rest: string[] = [];
  bytes: Uint8Array = new Uint8Array(0);

  constructor(capacity = 4096) {
    this.capacity = capacity;
    this.step = new Uint32Array(capacity);
    this.tag = new Uint8Array(capacity);
    this.addr = new Uint32Array(2 * capacity);
    this.size = new Uint32Array(capacity);
    this.value = new Uint32Array(2 * capacity);
    this.vcpu = new Uint16Array(capacity);
    this.transport = new Uint16Array(capacity);
    this.queue = new Uint16Array(capacity);
    this.adv = new Uint32Array(capacity);
    this.bytesStart = new Uint32Array(capacity + 1);
  }

  get full(): boolean {
    return this.length >= this.capacity;
  }

  /** Bytes of payload that the rows hold. */
  get byteLength(): number {
    return this.bytesStart[this.length]!;
  }

  payload(i: number): Uint8Array {
    return this.bytes.subarray(this.bytesStart[i], this.bytesStart[i + 1]);
  }

  clear(): void {
    this.length = 0;
    this.rest.length = 0;
  }

  /** Appends a row with every column empty. The caller has checked `full`. */
  push(tag: number, step: number, rest: string, payload: Uint8Array = NOTHING): number {
    const i = this.length++;
    this.tag[i] = tag;
    this.step[i] = step;
    this.addr[2 * i] = 0;
    this.addr[2 * i + 1] = 0;
    this.size[i] = 0;
    this.value[2 * i] = 0;
    this.value[2 * i + 1] = 0;
    this.vcpu[i] = NO_VCPU;
    this.transport[i] = NO_TRANSPORT;
    this.queue[i] = NO_QUEUE;
    this.adv[i] = 0;
    this.rest[i] = rest;
    const start = this.bytesStart[i]!;
    const end = start + payload.length;
    if (end > this.bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.bytes.length, 65_536));
      larger.set(this.bytes.subarray(0, start));
      this.bytes = larger;
    }
    this.bytes.set(payload, start);
    this.bytesStart[i + 1] = end;
    return i;
  }
}

const NOTHING = new Uint8Array(0);
