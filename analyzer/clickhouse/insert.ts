import type { ClickHouseSettings } from '@clickhouse/client';
import { TraceError } from '../../trace/errors.ts';
import { FOREGROUND } from './schema.ts';
import type { Server } from './server.ts';

/** Rows an INSERT: each becomes one part of the table, whole or not at all. */
export const BLOCK_ROWS = 1 << 20;

/**
 * One INSERT makes one block, so that it is atomic, and its token lets the server drop it if it comes twice. Blocks
 * that the stream has (64 k rows) are put together up to limits that no INSERT of ours reaches.
 */
const ONE_BLOCK: ClickHouseSettings = {
  ...FOREGROUND,
  async_insert: 0,
  insert_deduplicate: 1,
  max_insert_threads: '1',
  min_insert_block_size_rows: String(4 * BLOCK_ROWS),
  min_insert_block_size_bytes: String(1 << 30),
  max_insert_block_size: String(4 * BLOCK_ROWS),
  // An error after rows were sent must not come as a success that was cut off.
  wait_end_of_query: 1,
};

export interface Insertion {
  readonly query: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly token: string;
  /** Called anew for every try. */
  body(): Iterable<Uint8Array>;
  /** Asked before a second try: whether the first one arrived after all. */
  arrived?(): Promise<boolean>;
}

/** Sends a block until it is there, and there once. Rejects with E_SERVER. */
export function insertOnce(server: Server, insertion: Insertion): Promise<void> {
  const { query, params, token } = insertion;
  return server.again('to take rows', async (tries) => {
    if (tries > 0 && (await insertion.arrived?.()) === true) return;
    await server.insert(query, insertion.body(), params, { ...ONE_BLOCK, insert_deduplication_token: token });
  });
}

/** What is there of one trace, by source and block of BLOCK_ROWS. */
export interface HeldBlock {
  source: string;
  block: number;
  rows: number;
  /** Sum of the rows' places in the block: with the count it tells missing and double rows. */
  places: number;
}

export function heldBlocks(server: Server, trace: string): Promise<HeldBlock[]> {
  return server.rows<HeldBlock>(
    'SELECT toString(source) AS source, toFloat64(intDiv(row, {size:UInt64})) AS block, toFloat64(count()) AS rows, ' +
      'toFloat64(sum(row % {size:UInt64})) AS places ' +
      'FROM events WHERE trace = {trace:String} GROUP BY source, block',
    { trace, size: BLOCK_ROWS },
  );
}

/** Rows of block `block` of `total` rows, and the sum of their places. */
export function wholeBlock(block: number, total: number): { rows: number; places: number } {
  const rows = Math.min(BLOCK_ROWS, total - block * BLOCK_ROWS);
  return { rows, places: (rows * (rows - 1)) / 2 };
}

export function checkHeld(found: HeldBlock, total: number, place: string): void {
  const whole = wholeBlock(found.block, total);
  if (found.rows === whole.rows && found.places === whole.places) return;
  throw new TraceError(
    'E_SERVER',
    `rows of an unfinished load do not fit (source ${found.source}, block ${found.block})`,
    {
      source: place,
      expected: `${whole.rows} rows, each once`,
      got: `${found.rows} rows`,
    },
  );
}
