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

/** Settings that not every server knows. */
const IF_KNOWN: Readonly<Record<string, 0 | 1>> = {
  /** It adds comparisons to long ANDs, and takes half of the time of reading such a statement. */
  optimize_and_compare_chain: 0,
  /** `WITH ... AS MATERIALIZED` is kept for the statement; without it the text is put in wherever its name stands. */
  enable_materialized_cte: 1,
};

export interface PassSettings {
  /** For the statements of analyzer/sql/, as the server knows them. */
  settings: ClickHouseSettings;
  /** PassTarget.sharing. */
  sharing: boolean;
}

export async function passSettings(server: Server): Promise<PassSettings> {
  const rows = await server.rows<{ name: string }>(
    'SELECT name FROM system.settings WHERE has({names:Array(String)}, name)',
    { names: Object.keys(IF_KNOWN) },
  );
  const known = rows.map(({ name }) => [name, IF_KNOWN[name]] as const);
  return {
    settings: { ...ALWAYS, ...Object.fromEntries(known) },
    sharing: known.some(([name]) => name === 'enable_materialized_cte'),
  };
}
