import type { Readable, Writable } from 'node:stream';
import type { DebugProtocol } from '@vscode/debugprotocol';

type Message = DebugProtocol.Response | DebugProtocol.Event;

/** An editor's side of the protocol, as small as it can be: it checks that every message is one. */
export class Client {
  readonly events: DebugProtocol.Event[] = [];
  /** Set when the adapter has closed its side. */
  closed = false;
  private readonly input: Writable;
  private readonly waiting = new Map<number, (response: DebugProtocol.Response) => void>();
  private readonly watchers = new Set<() => void>();
  private held = Buffer.alloc(0);
  private seq = 1;
  private next = 1;

  constructor(input: Writable, output: Readable) {
    this.input = input;
    output.on('data', (piece: Buffer) => {
      this.held = Buffer.concat([this.held, piece]);
      this.take();
    });
    output.on('close', () => {
      this.closed = true;
      for (const watcher of this.watchers) watcher();
    });
  }

  private take(): void {
    for (;;) {
      const found = /^Content-Length: (\d+)\r\n\r\n/.exec(this.held.subarray(0, 64).toString('latin1'));
      if (found === null) return;
      const begin = found[0].length;
      const end = begin + Number(found[1]);
      if (this.held.length < end) return;
      const message = JSON.parse(this.held.subarray(begin, end).toString('utf8')) as Message;
      this.held = this.held.subarray(end);
      if (message.seq !== this.next++) throw new Error(`message ${message.seq}, not ${this.next - 1}`);
      if (message.type === 'response') {
        const { request_seq: seq } = message as DebugProtocol.Response;
        this.waiting.get(seq)?.(message as DebugProtocol.Response);
        if (!this.waiting.delete(seq)) throw new Error(`a response to ${seq}, which waits for none`);
      } else {
        this.events.push(message as DebugProtocol.Event);
        for (const watcher of this.watchers) watcher();
      }
    }
  }

  raw(text: string): void {
    this.input.write(text);
  }

  /** A request that is yet to be sent, and its response. */
  expect(command: string, args?: unknown): { text: string; response: Promise<DebugProtocol.Response> } {
    const seq = this.seq++;
    const text = JSON.stringify({ seq, type: 'request', command, arguments: args });
    const response = new Promise<DebugProtocol.Response>((resolve) => this.waiting.set(seq, resolve));
    return { text: `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`, response };
  }

  ask(command: string, args?: unknown): Promise<DebugProtocol.Response> {
    const { text, response } = this.expect(command, args);
    this.input.write(text);
    return response;
  }

  /** The body of a response that must be a success. */
  async get<T = Record<string, unknown>>(command: string, args?: unknown): Promise<T> {
    const response = await this.ask(command, args);
    if (!response.success) throw new Error(`${command}: ${response.message ?? 'refused'}`);
    return response.body as T;
  }

  /** The first event of a name that was not given out yet; rejects when the adapter closes before. */
  async event(name: string): Promise<Record<string, unknown>> {
    for (;;) {
      const at = this.events.findIndex(({ event }) => event === name);
      if (at >= 0) {
        const [found] = this.events.splice(at, 1);
        return (found!.body ?? {}) as Record<string, unknown>;
      }
      if (this.closed) throw new Error(`no ${name} event before the end`);
      await new Promise<void>((resolve) => {
        const watcher = (): void => {
          this.watchers.delete(watcher);
          resolve();
        };
        this.watchers.add(watcher);
      });
    }
  }

  /** A movement and what stopped it. */
  async move(command: string, args: unknown = { threadId: 1 }): Promise<Record<string, unknown>> {
    await this.get(command, args);
    return this.event('stopped');
  }

  async line(): Promise<number> {
    const { stackFrames } = await this.get<DebugProtocol.StackTraceResponse['body']>('stackTrace', {
      threadId: 1,
    });
    return stackFrames[0]!.line;
  }
}
