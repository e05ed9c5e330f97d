import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { importCapture } from '../../../collector/import.ts';
import { withCapture } from '../../../fixtures/captures.ts';
import type { ClickHouseServer } from '../../../fixtures/clickhouse/server.ts';
import type { OpenTrace } from '../../../trace/open.ts';
import { openTrace } from '../../../trace/open.ts';
import type { Address } from '../address.ts';
import { parseAddress } from '../address.ts';
import type { LoadOptions } from '../load.ts';

/** The address of a database on servers of ours. */
export function addressOf(database: string, ...servers: readonly ClickHouseServer[]): Address {
  const hosts = servers.map((server) => new URL(server.url).host).join(',');
  return parseAddress(`clickhouse://${hosts}/${database}`, {
    IOREQ_TRACE_CLICKHOUSE_USER: servers[0]!.user,
    IOREQ_TRACE_CLICKHOUSE_PASSWORD: servers[0]!.password,
  });
}

export function loadOptions(more: Partial<LoadOptions> = {}): LoadOptions {
  return { tool: { name: 'test', version: '0' }, path: 'trace', labels: {}, ...more };
}

/** A capture as a trace, while `use` runs. */
export function withTrace<T>(name: string, use: (trace: OpenTrace) => Promise<T>): Promise<T> {
  return withFolder((folder) =>
    withCapture(name, async (raw) => {
      const dir = join(folder, 'trace');
      await importCapture([raw], dir, { tool: { name: 'test', version: '0' } });
      return use(openTrace(dir));
    }),
  );
}

export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'ioreq-trace-clickhouse-test-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * A report as it can be compared: without its path, and sums of float64 (means, shares) to 12 digits, since the order
 * in which a server adds is its own. Every other number must be the same bit by bit.
 */
export function comparable(report: object): unknown {
  return JSON.parse(JSON.stringify(report), (key, value: unknown) => {
    if (key === 'path') return 'path';
    if (typeof value === 'number' && (key === 'mean_ns' || key === 'share')) return value.toPrecision(12);
    return value;
  }) as unknown;
}
