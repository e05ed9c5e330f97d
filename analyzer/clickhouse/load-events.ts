import type { EventColumns } from '../../trace/columns.ts';
import { TraceError } from '../../trace/errors.ts';
import type { OpenTrace } from '../../trace/open.ts';
import { EVENT_INPUT, eventBody, eventRows } from './arrow-body.ts';
import type { Insertion } from './insert.ts';
import { BLOCK_ROWS, checkHeld, heldBlocks, insertOnce } from './insert.ts';
import type { Server } from './server.ts';

const COLUMNS = 'ts, kind, cpu, domid, vcpu, pid, addr, data, arg0, arg1, arg2, arg3';
const INSERT_EVENTS =
  `INSERT INTO events (trace, source, row, ${COLUMNS}) ` +
  `SELECT {trace:String}, {source:String}, {first:UInt64} + n, ${COLUMNS} ` +
  `FROM input('${EVENT_INPUT}') FORMAT ArrowStream`;

/** Blocks under way at a time: the server sorts and writes one while the next comes. About 60 MB each are held. */
const UNDER_WAY = 2;

/**
 * Puts every event of a trace into the table, block by block, leaving out those that a load before it has brought;
 * and checks then that each row is there once. Rejects with E_SERVER; `signal` ends it between two blocks.
 */
export async function loadEvents(
  server: Server,
  id: string,
  trace: OpenTrace,
  options: { progress?: (done: number, total: number) => void; signal?: AbortSignal } = {},
): Promise<{ sent: number; resumed: number }> {
  const totals = new Map(trace.sources.map((s) => [s.facts.id, s.scan.rows]));
  const total = [...totals.values()].reduce((a, b) => a + b, 0);
  const held = new Set<string>();
  let resumed = 0;
  for (const found of await heldBlocks(server, id)) {
    checkHeld(found, totals.get(found.source) ?? 0, server.place);
    held.add(`${found.source} ${found.block}`);
    resumed += found.rows;
  }
  let done = resumed;
  options.progress?.(done, total);
  const underWay = new Set<Promise<void>>();
  let failure: unknown;
  const send = async (insertion: Insertion, rows: number): Promise<void> => {
    try {
      await insertOnce(server, insertion);
      done += rows;
      options.progress?.(done, total);
    } catch (error) {
      failure ??= error;
    }
  };
  for (const source of trace.sources) {
    const name = source.facts.id;
    for (const { block, rows, batches } of blocks(source.batches(), (n) => !held.has(`${name} ${n}`))) {
      while (underWay.size >= UNDER_WAY) await Promise.race(underWay);
      if (failure !== undefined || options.signal?.aborted === true) break;
      const sent = send(eventBlock(server, id, name, block, rows, batches), rows);
      underWay.add(sent);
      void sent.finally(() => underWay.delete(sent));
    }
  }
  await Promise.all(underWay);
  if (failure !== undefined) throw failure as Error;
  if (options.signal?.aborted === true) return { sent: done - resumed, resumed };
  await checkAll(server, id, totals);
  return { sent: done - resumed, resumed };
}

function eventBlock(
  server: Server,
  trace: string,
  source: string,
  block: number,
  rows: number,
  batches: readonly EventColumns[],
): Insertion {
  return {
    query: INSERT_EVENTS,
    params: { trace, source, first: block * BLOCK_ROWS },
    token: `${trace}/${source}/${block}`,
    body: () => eventBody(source, batches),
    async arrived() {
      const found = (await heldBlocks(server, trace)).find((b) => b.source === source && b.block === block);
      return found?.rows === rows;
    },
  };
}

/** Cuts batches of any size into blocks of BLOCK_ROWS rows; gives those that are `wanted`. */
function* blocks(
  batches: Iterable<EventColumns>,
  wanted: (block: number) => boolean,
): Generator<{ block: number; rows: number; batches: EventColumns[] }, void, undefined> {
  let block = 0;
  let rows = 0;
  let list: EventColumns[] = [];
  for (const batch of batches) {
    for (let from = 0; from < batch.length;) {
      const to = Math.min(batch.length, from + BLOCK_ROWS - rows);
      if (wanted(block)) list.push(from === 0 && to === batch.length ? batch : eventRows(batch, from, to));
      rows += to - from;
      from = to;
      if (rows < BLOCK_ROWS) continue;
      if (list.length > 0) yield { block, rows, batches: list };
      block++;
      rows = 0;
      list = [];
    }
  }
  if (list.length > 0) yield { block, rows, batches: list };
}

async function checkAll(server: Server, id: string, totals: ReadonlyMap<string, number>): Promise<void> {
  const found = await heldBlocks(server, id);
  const count = new Map<string, number>();
  for (const block of found) {
    checkHeld(block, totals.get(block.source) ?? 0, server.place);
    count.set(block.source, (count.get(block.source) ?? 0) + block.rows);
  }
  for (const [source, rows] of totals) {
    if ((count.get(source) ?? 0) === rows) continue;
    throw new TraceError('E_SERVER', `events of source ${source} are missing after the load`, {
      source: server.place,
      expected: `${rows} rows`,
      got: String(count.get(source) ?? 0),
    });
  }
}
