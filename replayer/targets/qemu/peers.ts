import type { Socket } from 'node:net';
import { Intake } from '../nbd/intake.ts';

/** Longest frame that QEMU's stream netdev takes (net/net.h, NET_BUFSIZE). Bytes. */
const MOST_FRAME_BYTES = 4096 + 65_536;

/** The other end of a `-netdev stream`: frames behind their length, four bytes, big-endian. */
export class NetPeer {
  readonly sent: Uint8Array[] = [];
  /** Bytes seen so far. */
  received = 0;
  private readonly intake = new Intake();
  private readonly socket: Socket;
  private length: number | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.length;
      this.intake.push(chunk);
      for (;;) {
        this.length ??= this.intake.take(4)?.readUInt32BE();
        if (this.length === undefined) return;
        const frame = this.intake.take(this.length);
        if (frame === undefined) return;
        this.sent.push(new Uint8Array(frame));
        this.length = undefined;
      }
    });
  }

  deliver(frame: Uint8Array): void {
    if (frame.length === 0 || frame.length > MOST_FRAME_BYTES) return;
    const head = Buffer.alloc(4);
    head.writeUInt32BE(frame.length);
    this.socket.write(Buffer.concat([head, frame]));
  }
}

/** The other end of a console port. */
export class PortPeer {
  received = 0;
  private readonly chunks: Buffer[] = [];
  private readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.length;
      this.chunks.push(chunk);
    });
  }

  type(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  get output(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.chunks));
  }
}
