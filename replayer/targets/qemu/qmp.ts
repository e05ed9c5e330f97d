import type { Duplex } from 'node:stream';
import { TraceError } from '../../../trace/errors.ts';

/** QEMU's machine protocol: one JSON document a line (docs/interop/qmp-spec). Commands are answered in order. */
export class Qmp {
  private readonly stream: Duplex;
  private readonly waiting: { take: (value: unknown) => void; fail: (error: Error) => void }[] = [];
  private rest = '';
  private failure: Error | undefined;

  constructor(stream: Duplex) {
    this.stream = stream;
    stream.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.rest + text).split('\n');
      this.rest = lines.pop() ?? '';
      for (const line of lines) this.take(line);
    });
    void this.command('qmp_capabilities').catch(() => undefined);
  }

  command(name: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return new Promise((take, fail) => {
      if (this.failure !== undefined) {
        fail(this.failure);
        return;
      }
      this.waiting.push({ take, fail });
      this.stream.write(`${JSON.stringify({ execute: name, arguments: args })}\n`);
    });
  }

  /** Nothing will be answered any more. */
  end(error: Error): void {
    this.failure ??= error;
    for (const { fail } of this.waiting.splice(0)) fail(error);
  }

  private take(line: string): void {
    let message: { return?: unknown; error?: { class?: string; desc?: string } };
    try {
      message = JSON.parse(line) as typeof message;
    } catch {
      return;
    }
    if (message.error !== undefined) {
      const { desc = '', class: kind = '' } = message.error;
      this.waiting.shift()?.fail(new QmpError(desc, kind));
    } else if ('return' in message) this.waiting.shift()?.take(message.return);
    // The rest are the greeting and events.
  }
}

export class QmpError extends TraceError {
  /** 'DeviceNotFound', 'GenericError', ... */
  readonly kind: string;

  constructor(desc: string, kind: string) {
    super('E_TARGET', `QEMU refused: ${desc}`);
    this.kind = kind;
  }
}
