import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** The outer end of one of QEMU's Unix sockets, connected when first used. */
export class HostSocket {
  received = Buffer.alloc(0);
  private socket: Socket | undefined;
  private readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  async send(bytes: Uint8Array): Promise<void> {
    this.socket ??= await this.connected();
    this.socket.write(bytes);
  }

  private async connected(): Promise<Socket> {
    for (let tries = 0; ; tries++) {
      const socket = connect(this.path);
      try {
        await new Promise((done, fail) => socket.once('connect', done).once('error', fail));
        socket.on('data', (bytes: Buffer) => (this.received = Buffer.concat([this.received, bytes])));
        socket.on('error', () => undefined);
        return socket;
      } catch (error) {
        if (tries > 100) throw error;
        await sleep(20);
      }
    }
  }

  /** Waits until what was received fulfils the condition. */
  async until(condition: (text: string) => boolean): Promise<void> {
    for (let tries = 0; !condition(this.received.toString()); tries++) {
      if (tries > 400) throw new Error(`${this.path} sent only: ${this.received.toString()}`);
      await sleep(10);
    }
  }

  end(): void {
    this.socket?.destroy();
  }
}
