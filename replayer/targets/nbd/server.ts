import type { Duplex } from 'node:stream';
import { Handshake, type NbdExport } from './handshake.ts';
import { Intake } from './intake.ts';
import * as nbd from './protocol.ts';
import { reply, type Reply } from './reply.ts';

/** A request that has been done to the disk; its answer waits for release(). */
export interface HeldRequest {
  /** NBD_CMD. */
  command: number;
  /** Bytes. */
  offset: number;
  length: number;
  /** The answer as it will be sent. */
  reply: Reply;
}

/**
 * A disk in memory behind the NBD protocol, for one client, whose answers can be held back and released in any
 * order: that makes a device model complete parallel requests in the order of a recording. Requests act on the
 * disk when they come, as with the built-in model.
 */
export class NbdServer {
  /** Requests without an answer, in the order in which they came. */
  readonly held: HeldRequest[] = [];
  /** Requests done so far. */
  requests = 0;
  /** Why the connection was given up, if it was. */
  broken: string | undefined;
  private holding = false;
  private passing = 0;
  /** Parts of answers that wait for those before them. */
  private readonly sending: Buffer[] = [];
  private readonly stream: Duplex;
  private readonly disk: NbdExport;
  private readonly intake = new Intake();
  private readonly handshake: Handshake;
  private ready = false;
  private request: Buffer | undefined;

  constructor(stream: Duplex, disk: NbdExport) {
    this.stream = stream;
    this.disk = disk;
    this.handshake = new Handshake(disk, (bytes) => stream.write(bytes));
    stream.on('data', (chunk: Buffer) => {
      this.intake.push(chunk);
      if (this.broken === undefined) this.take();
    });
    stream.on('error', () => undefined);
  }

  /** From now on answers wait for release(). */
  hold(): void {
    this.holding = true;
  }

  /** Answers do not wait, those that do are sent, until the function that this gives is called. */
  letThrough(): () => void {
    this.passing++;
    for (const request of this.held.splice(0)) this.send(request.reply);
    let over = false;
    return () => {
      if (!over) this.passing--;
      over = true;
    };
  }

  release(request: HeldRequest): void {
    const at = this.held.indexOf(request);
    if (at < 0) return;
    this.held.splice(at, 1);
    this.send(request.reply);
  }

  private take(): void {
    if (!this.ready) {
      const state = this.handshake.take(this.intake);
      if (state === 'refused') this.giveUp('the client ended the negotiation');
      if (state !== 'ready') return;
      this.ready = true;
    }
    for (;;) {
      this.request ??= this.intake.take(nbd.NBD_REQUEST_BYTES);
      if (this.request === undefined) return;
      if (this.request.readUInt32BE() !== nbd.NBD_REQUEST_MAGIC) {
        this.giveUp('a request without its magic number');
        return;
      }
      const command = this.request.readUInt16BE(6);
      if (command === nbd.NBD_CMD.DISC) {
        this.stream.end();
        return;
      }
      const length = this.request.readUInt32BE(24);
      const payload = command === nbd.NBD_CMD.WRITE ? length : 0;
      if (payload > nbd.NBD_MOST_BYTES) {
        this.giveUp(`a write of ${payload} bytes`);
        return;
      }
      const data = this.intake.take(payload);
      if (data === undefined) return;
      const offset = Number(this.request.readBigUInt64BE(16));
      const answer = this.perform(command, offset, length, data, this.request.subarray(8, 16));
      this.request = undefined;
      this.requests++;
      if (this.holding && this.passing === 0) this.held.push({ command, offset, length, reply: answer });
      else this.send(answer);
    }
  }

  /** The parts of an answer, each handed to the kernel whole before the next. */
  private send(parts: Reply): void {
    this.sending.push(...parts);
    if (this.sending.length === parts.length) this.sendNext();
  }

  private sendNext(): void {
    const [part] = this.sending;
    if (part === undefined || this.stream.destroyed) return;
    this.stream.write(part, () => {
      this.sending.shift();
      this.sendNext();
    });
  }

  private perform(command: number, offset: number, length: number, data: Buffer, handle: Buffer): Reply {
    const { bytes, readOnly } = this.disk;
    const { READ, WRITE, FLUSH, TRIM, WRITE_ZEROES } = nbd.NBD_CMD;
    const { structured } = this.handshake;
    const fail = (error: number): Reply => reply(structured, handle, error);
    if (command !== FLUSH && (offset > bytes.length || length > bytes.length - offset))
      return fail(nbd.NBD_EINVAL);
    if (readOnly && (command === WRITE || command === TRIM || command === WRITE_ZEROES))
      return fail(nbd.NBD_EPERM);
    switch (command) {
      case READ:
        if (length > nbd.NBD_MOST_BYTES || length === 0) return fail(nbd.NBD_EINVAL);
        return reply(structured, handle, 0, { offset, bytes: bytes.slice(offset, offset + length) });
      case WRITE:
        bytes.set(data, offset);
        break;
      case WRITE_ZEROES:
        bytes.fill(0, offset, offset + length);
        break;
      // What is trimmed may keep its content: so do QEMU's raw images unless they are told to unmap.
      case FLUSH:
      case TRIM:
        break;
      default:
        return fail(nbd.NBD_EINVAL);
    }
    return reply(structured, handle, 0);
  }

  private giveUp(why: string): void {
    this.broken = why;
    this.stream.destroy();
  }
}
