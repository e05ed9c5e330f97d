import type { ClickHouseSettings } from '@clickhouse/client';
import type { Server } from './server.ts';

/**
 * Machine code made of hundreds of expressions never pays for the making where each statement runs once or twice (a
 * quarter of the time at 10^7 events).
 */
const ALWAYS: ClickHouseSettings = {
  compile_expressions: 0,
  compile_aggregate_expressions: 0,
  compile_sort_description: 0,
};
/** It adds comparisons to long ANDs, and takes half of the time of reading such a statement. The oldest servers do not know it. */
const COMPARE_CHAIN = 'optimize_and_compare_chain';

/** Settings for the statements of analyzer/sql/, as the server knows them. */
export async function passSettings(server: Server): Promise<ClickHouseSettings> {
  const known = await server.rows('SELECT name FROM system.settings WHERE name = {name:String}', {
    name: COMPARE_CHAIN,
  });
  return known.length === 0 ? ALWAYS : { ...ALWAYS, [COMPARE_CHAIN]: 0 };
}
