import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClickHouseError } from '@clickhouse/client';
import type { Server } from './server.ts';

/** A query's id is in use on the server (src/Common/ErrorCodes.cpp). */
const SAME_ID = '216';
/** Between two tries to get the lock, ms; the server sees within LINE_SECONDS that the holder has gone. */
const PAUSE_MS = 200;
const LINE_SECONDS = 0.25;
/** Runs until its client goes away: a line each LINE_SECONDS, by which the server notices that. */
const FOREVER =
  `SELECT sleepEachRow(${LINE_SECONDS}) AS held FROM numbers(1000000000000) ` +
  'SETTINGS max_block_size = 1, max_threads = 1, max_execution_time = 0, max_rows_to_read = 0 ' +
  'FORMAT JSONEachRowWithProgress';

export interface LockOptions {
  /** Called once when another load of the same trace holds the lock. */
  onWait?: () => void;
  signal?: AbortSignal;
}

/**
 * Only one loader at a time makes a trace's spans and its row in `traces`. The lock is a query that runs on the server
 * for as long as the loader lives: the server takes an id of a query once, and ends the query when its client is gone,
 * however that ended. There is nothing to clean up.
 */
export class LoadLock {
  private readonly server: Server;
  private readonly id: string;
  private readonly options: LockOptions;
  private line: Readable | undefined;

  constructor(server: Server, trace: string, options: LockOptions = {}) {
    this.server = server;
    this.id = `ioreq-trace-load-${server.database}-${trace}`;
    this.options = options;
  }

  /** Waits until it is held; whether it had to be taken (anew: the server may have gone meanwhile). E_SERVER. */
  async ensure(): Promise<boolean> {
    if (this.line !== undefined) return false;
    for (let told = false; ; told = true) {
      const line = await this.tryOnce();
      if (line !== undefined) {
        this.hold(line);
        return true;
      }
      if (!told) this.options.onWait?.();
      await sleep(
        PAUSE_MS,
        undefined,
        this.options.signal === undefined ? {} : { signal: this.options.signal },
      );
    }
  }

  release(): void {
    this.line?.destroy();
    this.line = undefined;
  }

  private hold(line: Readable): void {
    this.line = line;
    const lost = (): void => {
      if (this.line === line) this.line = undefined;
    };
    line.on('error', lost).on('close', lost).resume();
  }

  private tryOnce(): Promise<Readable | undefined> {
    return this.server.again('to lock the trace', async () => {
      try {
        return await this.server.stream(FOREVER, this.id);
      } catch (error) {
        if (error instanceof ClickHouseError && error.code === SAME_ID) return undefined;
        throw error;
      }
    });
  }
}

/** Id of a statement that makes rows of a trace, and goes on when its client is killed. */
export function statementId(trace: string, what: string): string {
  return `${statementPrefix(trace)}${what}-${process.pid}-${Date.now()}`;
}

function statementPrefix(trace: string): string {
  return `ioreq-trace-rows-${trace}-`;
}

/** Ends the statements that a killed loader has left running, and waits until they have. Only for a lock's holder. */
export async function endLeftStatements(server: Server, trace: string): Promise<void> {
  const params = { prefix: statementPrefix(trace) };
  for (;;) {
    const [row] = await server.rows<{ n: number }>(
      'SELECT toFloat64(count()) AS n FROM system.processes WHERE startsWith(query_id, {prefix:String})',
      params,
    );
    if ((row?.n ?? 0) === 0) return;
    await server.command('KILL QUERY WHERE startsWith(query_id, {prefix:String}) ASYNC FORMAT Null', params);
    await sleep(PAUSE_MS);
  }
}
