import type { Duplex } from 'node:stream';
import { TraceError } from '../../trace/errors.ts';

/** Another client (libxl, a management tool) may hold the monitor: it would never answer. */
const ANSWER_MS = 10_000;
const MAX_LINE = 4 << 20;

/**
 * A client of QEMU's machine protocol (QEMU docs/interop/qmp-spec.rst): one JSON document a line, answers in
 * order, events between them. Every failure is an E_HOST.
 */
export class QmpClient {
  private readonly stream: Duplex;
  private readonly socketPath: string;
  private readonly answerMs: number;
  private text = '';
  private readonly waiting: {
    resolve: (line: Record<string, unknown>) => void;
    reject: (error: Error) => void;
  }[] = [];
  private broken: TraceError | undefined;

  private constructor(stream: Duplex, socketPath: string, answerMs: number) {
    this.stream = stream;
    this.socketPath = socketPath;
    this.answerMs = answerMs;
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      this.take(chunk);
    });
    const gone = (): void => {
      this.fail('the monitor closed the connection');
    };
    stream.on('error', gone).on('close', gone);
  }

  /** `stream`: connected to the monitor's socket. */
  static async open(stream: Duplex, socketPath: string, answerMs = ANSWER_MS): Promise<QmpClient> {
    const client = new QmpClient(stream, socketPath, answerMs);
    try {
      await client.answer('greeting');
      await client.execute('qmp_capabilities');
    } catch (error) {
      client.close();
      throw error;
    }
    return client;
  }

  /** The answer's `return`. Rejects with E_HOST if QEMU refuses, is gone or does not answer. */
  async execute(command: string, args?: Record<string, unknown>): Promise<unknown> {
    this.stream.write(
      `${JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }) })}\n`,
    );
    const answer = await this.answer(command);
    if ('return' in answer) return answer['return'];
    throw this.error(`QEMU refused ${command}`, JSON.stringify(answer['error'] ?? answer).slice(0, 200));
  }

  close(): void {
    this.broken ??= this.error('the connection was closed');
    this.stream.destroy();
  }

  private async answer(what: string): Promise<Record<string, unknown>> {
    if (this.broken !== undefined) throw this.broken;
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const said = what === 'greeting' ? 'no greeting' : `no answer to ${what}`;
        this.fail(`${said} in ${this.answerMs / 1000} s: does another client hold the monitor?`);
      }, this.answerMs);
      const done = (): void => {
        clearTimeout(timer);
      };
      this.waiting.push({
        resolve(line) {
          done();
          resolve(line);
        },
        reject(error) {
          done();
          reject(error);
        },
      });
    });
  }

  private take(chunk: string): void {
    this.text += chunk;
    if (this.text.length > MAX_LINE) {
      this.text = '';
      this.fail('the monitor sends a line without end');
      return;
    }
    for (let end = this.text.indexOf('\n'); end >= 0; end = this.text.indexOf('\n')) {
      const line = this.text.slice(0, end).trim();
      this.text = this.text.slice(end + 1);
      if (line === '') continue;
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch {
        this.fail('the monitor sends something else than JSON');
        return;
      }
      if (typeof value !== 'object' || value === null || 'event' in value) continue;
      this.waiting.shift()?.resolve(value as Record<string, unknown>);
    }
  }

  private fail(what: string): void {
    this.broken ??= this.error(what);
    for (const { reject } of this.waiting.splice(0)) reject(this.broken);
    this.stream.destroy();
  }

  private error(what: string, got?: string): TraceError {
    return new TraceError('E_HOST', what, { source: this.socketPath, ...(got === undefined ? {} : { got }) });
  }
}
