import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArrowFile } from '../../trace/arrow-file.ts';
import { TraceError } from '../../trace/errors.ts';
import { systemReason } from '../../trace/replace-file.ts';
import type { SpanBatch, SpanFamily, SpanPlan } from '../../trace/spans.ts';
import { spanRecordBatch, spanSchema } from './arrow-body.ts';
import { BLOCK_ROWS } from './insert.ts';

/** One file of spans of one family: what one INSERT takes. */
export interface SpanBlock {
  readonly family: SpanFamily;
  readonly block: number;
  rows: number;
  /** By which this process opens it, and the engine in it. */
  readonly path: string;
}

/** Where a process opens its own files that have no name any more (Linux). */
const OWN_FILES = '/proc/self/fd';

/**
 * Spans on their way from the passes, which wait for nobody, to the server, which takes its time: temporary Arrow
 * files, one a block. Where the system lets it be they lose their names as soon as they are open, so that nothing is
 * left of them however the process ends.
 */
export class SpanSpool {
  readonly blocks: SpanBlock[] = [];
  private readonly folders: string[] = [];
  private readonly held: number[] = [];
  private readonly schema = spanSchema();
  private readonly open = new Map<SpanFamily, { file: ArrowFile; block: SpanBlock }>();

  /** A consumer of the passes. Throws E_WRITE. */
  readonly add = (plan: SpanPlan, batch: SpanBatch): void => {
    if (batch.length === 0) return;
    let open = this.open.get(plan.family);
    if (open === undefined || open.block.rows + batch.length > BLOCK_ROWS) {
      open?.file.close();
      const block = this.blocks.filter((b) => b.family === plan.family).length;
      const { file, path } = this.makeFile(`${plan.family}-${block}.arrows`);
      open = { file, block: { family: plan.family, block, rows: 0, path } };
      this.open.set(plan.family, open);
      this.blocks.push(open.block);
    }
    open.file.append(spanRecordBatch(this.schema, plan, batch));
    open.block.rows += batch.length;
  };

  close(): void {
    for (const { file } of this.open.values()) file.close();
    this.open.clear();
  }

  remove(): void {
    for (const { file } of this.open.values()) file.drop();
    this.open.clear();
    for (const fd of this.held.splice(0)) closeSync(fd);
    for (const folder of this.folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  }

  private makeFile(name: string): { file: ArrowFile; path: string } {
    let folder: string;
    try {
      folder = mkdtempSync(join(tmpdir(), 'ioreq-trace-spans-'));
    } catch (error) {
      throw new TraceError('E_WRITE', `no temporary folder can be made (${systemReason(error)})`, {
        source: tmpdir(),
      });
    }
    this.folders.push(folder);
    const path = join(folder, name);
    const file = new ArrowFile(path, this.schema);
    if (!existsSync(OWN_FILES)) return { file, path };
    const fd = openSync(path, 'r');
    this.held.push(fd);
    rmSync(folder, { recursive: true });
    this.folders.pop();
    return { file, path: `${OWN_FILES}/${fd}` };
  }
}

/** A file in pieces of 1 MB. */
export function* fileBody(path: string): Generator<Uint8Array, void, undefined> {
  const fd = openSync(path, 'r');
  try {
    for (;;) {
      const piece = new Uint8Array(1 << 20);
      const length = readSync(fd, piece);
      if (length === 0) return;
      yield piece.subarray(0, length);
    }
  } finally {
    closeSync(fd);
  }
}
