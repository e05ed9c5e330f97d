import { TraceError } from '../../../trace/errors.ts';
import type { Features } from '../../../devices/features.ts';
import { hasFeature } from '../../../devices/features.ts';
import type { Posix } from './posix.ts';
import {
  configPayload,
  F_PROTOCOL_FEATURES,
  FLAG_NEED_REPLY,
  FLAG_REPLY,
  HEADER_BYTES,
  header,
  memTable,
  MOST_CONFIG_BYTES,
  MOST_MESSAGE_BYTES,
  PROTOCOL_F_CONFIG,
  PROTOCOL_F_MQ,
  PROTOCOL_F_REPLY_ACK,
  REQUEST,
  u64Payload,
  VERSION,
  vringAddress,
  vringState,
  type Region,
  type Request,
} from './protocol.ts';

const NAMES = new Map<number, string>(Object.entries(REQUEST).map(([name, value]) => [value, name]));

/**
 * The front-end's end of a vhost-user socket. Requests are synchronous: nothing of the replay may go on before the
 * back-end has taken them. A back-end that ends, answers nonsense or nothing within `timeoutMs` is E_TARGET.
 */
export class Connection {
  readonly fd: number;
  /** Features of the device as the back-end offers them, ring and transport bits included. */
  features: Features = [0, 0];
  private readonly posix: Posix;
  private readonly timeoutMs: number;
  private protocol: Features = [0, 0];

  constructor(posix: Posix, fd: number, timeoutMs: number) {
    this.posix = posix;
    this.fd = fd;
    this.timeoutMs = timeoutMs;
  }

  /** Takes possession of the back-end and learns what it offers. */
  open(): void {
    this.features = this.getU64(REQUEST.GET_FEATURES);
    if (hasFeature(this.features, F_PROTOCOL_FEATURES)) {
      const [low] = this.getU64(REQUEST.GET_PROTOCOL_FEATURES);
      const wanted = (1 << PROTOCOL_F_MQ) | (1 << PROTOCOL_F_REPLY_ACK) | (1 << PROTOCOL_F_CONFIG);
      this.tell(REQUEST.SET_PROTOCOL_FEATURES, u64Payload((low & wanted) >>> 0));
      this.protocol = [(low & wanted) >>> 0, 0];
    }
    this.tell(REQUEST.SET_OWNER);
  }

  /** Throws unless the back-end answers. */
  alive(): void {
    this.getU64(REQUEST.GET_FEATURES);
  }

  /** Number of queues that the back-end can serve; 1 if it does not say. */
  queues(): number {
    return hasFeature(this.protocol, PROTOCOL_F_MQ) ? this.getU64(REQUEST.GET_QUEUE_NUM)[0] : 1;
  }

  get hasConfig(): boolean {
    return hasFeature(this.protocol, PROTOCOL_F_CONFIG);
  }

  /** The first `length` bytes of the configuration space. */
  config(length: number): Uint8Array {
    const wanted = Math.min(length, MOST_CONFIG_BYTES);
    const reply = this.ask(REQUEST.GET_CONFIG, configPayload(0, new Uint8Array(wanted)));
    if (reply.length !== 12 + wanted)
      throw this.nonsense(REQUEST.GET_CONFIG, `${12 + wanted} bytes`, `${reply.length} bytes`);
    return reply.slice(12);
  }

  setConfig(offset: number, bytes: Uint8Array): void {
    this.tell(REQUEST.SET_CONFIG, configPayload(offset, bytes));
  }

  setFeatures([low, high]: Features): void {
    const own = hasFeature(this.features, F_PROTOCOL_FEATURES) ? 2 ** F_PROTOCOL_FEATURES : 0;
    this.tell(REQUEST.SET_FEATURES, u64Payload((low | own) >>> 0, high));
  }

  /** All regions lie in one file. */
  setMemory(regions: readonly Region[], fd: number): void {
    this.tell(
      REQUEST.SET_MEM_TABLE,
      memTable(regions),
      regions.map(() => fd),
    );
  }

  startRing(
    index: number,
    ring: { num: number; desc: number; avail: number; used: number },
    kick: number,
    call: number,
  ): void {
    this.tell(REQUEST.SET_VRING_NUM, vringState(index, ring.num));
    this.tell(REQUEST.SET_VRING_BASE, vringState(index, 0));
    this.tell(REQUEST.SET_VRING_ADDR, vringAddress(index, ring.desc, ring.used, ring.avail));
    this.tell(REQUEST.SET_VRING_CALL, u64Payload(index), [call]);
    this.tell(REQUEST.SET_VRING_KICK, u64Payload(index), [kick]);
    // Without protocol features a ring is enabled from its start.
    if (hasFeature(this.features, F_PROTOCOL_FEATURES))
      this.tell(REQUEST.SET_VRING_ENABLE, vringState(index, 1));
  }

  /** Afterwards the back-end uses the ring no more. */
  stopRing(index: number): void {
    this.ask(REQUEST.GET_VRING_BASE, vringState(index, 0));
  }

  /** A socket of its own for what a gpu shows. */
  setGpuSocket(fd: number): void {
    this.tell(REQUEST.GPU_SET_SOCKET, new Uint8Array(0), [fd]);
  }

  private getU64(request: Request): Features {
    const reply = this.ask(request, new Uint8Array(0));
    if (reply.length !== 8) throw this.nonsense(request, '8 bytes', `${reply.length} bytes`);
    const words = new DataView(reply.buffer, reply.byteOffset, 8);
    return [words.getUint32(0, true), words.getUint32(4, true)];
  }

  /** A request without a reply of its own: where the back-end can, it confirms it. */
  private tell(request: Request, payload: Uint8Array = new Uint8Array(0), fds: readonly number[] = []): void {
    const confirm = hasFeature(this.protocol, PROTOCOL_F_REPLY_ACK);
    this.send(request, confirm ? FLAG_NEED_REPLY : 0, payload, fds);
    if (!confirm) return;
    const reply = this.reply(request);
    if (reply.length !== 8 || reply.some((byte) => byte !== 0))
      throw new TraceError('E_TARGET', `the back-end refuses ${NAMES.get(request)!}`);
  }

  private ask(request: Request, payload: Uint8Array): Uint8Array {
    this.send(request, 0, payload, []);
    return this.reply(request);
  }

  private send(request: Request, flags: number, payload: Uint8Array, fds: readonly number[]): void {
    const message = new Uint8Array(HEADER_BYTES + payload.length);
    message.set(header(request, flags, payload.length));
    message.set(payload, HEADER_BYTES);
    this.posix.send(this.fd, message, fds, this.timeoutMs);
  }

  private reply(request: Request): Uint8Array {
    const words = new DataView(this.receive(request, HEADER_BYTES).buffer);
    const got = words.getUint32(0, true);
    const flags = words.getUint32(4, true);
    const size = words.getUint32(8, true);
    if (got !== request || (flags & 3) !== VERSION || (flags & FLAG_REPLY) === 0 || size > MOST_MESSAGE_BYTES)
      throw this.nonsense(request, 'its reply', `request ${got}, flags ${flags}, ${size} bytes`);
    return this.receive(request, size);
  }

  private receive(request: Request, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const end = Date.now() + this.timeoutMs;
    for (let done = 0; done < length;) {
      const got = this.posix.receive(this.fd, bytes.subarray(done));
      if (got === 0) throw new TraceError('E_TARGET', `the back-end ended at ${NAMES.get(request)!}`);
      if (got > 0) done += got;
      else if (Date.now() >= end)
        throw new TraceError(
          'E_TARGET',
          `the back-end did not answer ${NAMES.get(request)!} within ${this.timeoutMs} ms`,
        );
      else this.posix.poll([this.fd], Math.min(this.timeoutMs, 100));
    }
    return bytes;
  }

  private nonsense(request: Request, expected: string, got: string): TraceError {
    return new TraceError('E_TARGET', `the back-end's answer to ${NAMES.get(request)!} is wrong`, {
      expected,
      got,
    });
  }
}
