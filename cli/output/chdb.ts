import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { engineWords } from '../../analyzer/embedded/formats.ts';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';

/** What is used of the package chdb (3.x). */
export interface Session {
  query(sql: string): string;
  queryAsync(sql: string, options: { format: string }): Promise<{ bytes(): Uint8Array }>;
  cleanup(): void;
}

/**
 * A session of chDB: ClickHouse's engine as a library. It is 540 MB, so that it is no part of this tool: found where
 * IOREQ_TRACE_CHDB says (a folder with node_modules), else beside the tool. Throws E_NOT_FOUND, E_UNSUPPORTED.
 */
export function openChdb({ streams }: Cli, what = 'trace sql'): Session {
  const told = streams.env['IOREQ_TRACE_CHDB'];
  const from = told === undefined || told === '' ? import.meta.url : join(resolve(told), 'package.json');
  const require = createRequire(from);
  let path: string;
  try {
    path = require.resolve('chdb');
  } catch {
    throw new TraceError('E_NOT_FOUND', `${what} needs the package chdb, which is not installed`, {
      expected: 'npm install --global chdb@3, or IOREQ_TRACE_CHDB=FOLDER with it in node_modules',
    });
  }
  try {
    const { Session: Made } = require(path) as { Session: new () => Session };
    return new Made();
  } catch (error) {
    throw new TraceError('E_UNSUPPORTED', `chdb cannot be loaded: ${engineWords(textOf(error))}`, {
      source: path,
    });
  }
}

export function engineError(error: unknown): TraceError {
  return new TraceError('E_USAGE', `the engine: ${engineWords(textOf(error))}`);
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
