import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { TraceError } from '../../trace/errors.ts';
import { systemReason } from '../../trace/replace-file.ts';
import type { SpanBatch, SpanFamily, SpanPlan } from '../../trace/spans.ts';
import type { PageChunk, PageRows } from './page-format.ts';
import { rowsHead } from './page-format.ts';
import { batchOf, copyRow } from './page-spans.ts';
import { spansToArrow } from './span-arrow.ts';

/** Spans a chunk: what a page reads at least, some 0.5 MB. */
const CHUNK_ROWS = 16_384;

/**
 * All spans of a trace in a file beside its page, for a page that holds a sample: chunks in the order in which the
 * passes finish spans, so of neighbouring times, each a gzipped Arrow table as the page's own. The page reads the
 * chunks of the time that is looked at. Memory: a chunk a family. Throws E_WRITE.
 */
export class PageRowsFile {
  private readonly path: string;
  private readonly id: string;
  private readonly fd: number;
  private at = 0;
  private readonly families = new Map<
    SpanFamily,
    { plan: SpanPlan; batch: SpanBatch; chunks: PageChunk[] }
  >();

  /** `id`: of the trace, 16 hexadecimal digits; a page takes only the file that has its own. */
  constructor(path: string, id: string) {
    this.path = path;
    this.id = id;
    try {
      this.fd = openSync(path, 'w');
      ftruncateSync(this.fd);
    } catch (error) {
      throw this.failed(error);
    }
    this.write(Buffer.from(rowsHead(id)));
  }

  add(plan: SpanPlan, batch: SpanBatch): void {
    let family = this.families.get(plan.family);
    if (family === undefined) {
      family = { plan, batch: batchOf(plan, CHUNK_ROWS), chunks: [] };
      this.families.set(plan.family, family);
    }
    for (let i = 0; i < batch.length; i++) {
      copyRow(batch, i, family.batch, family.batch.length++);
      if (family.batch.full) this.flush(family);
    }
  }

  /** What the page must know of the file, which is whole then. */
  close(): PageRows {
    const chunks: PageRows['chunks'] = {};
    for (const [name, family] of this.families) {
      this.flush(family);
      chunks[name] = family.chunks;
    }
    closeSync(this.fd);
    return { id: this.id, bytes: this.at, chunks };
  }

  /** Nobody needs it: the page holds all spans, or was not written. */
  remove(): void {
    rmSync(this.path, { force: true });
  }

  private flush({ plan, batch, chunks }: { plan: SpanPlan; batch: SpanBatch; chunks: PageChunk[] }): void {
    if (batch.length === 0) return;
    let [from, to] = [Infinity, -Infinity];
    for (let i = 0; i < batch.length; i++) {
      const start = batch.start[i]!;
      if (start < from) from = start;
      if (start > to) to = start;
    }
    const bytes = gzipSync(spansToArrow(plan, batch, null), { level: 1 });
    // A span without its first boundary has no start: no time finds a chunk of nothing but such.
    if (from <= to) chunks.push({ at: this.at, bytes: bytes.length, rows: batch.length, from, to });
    this.write(bytes);
    batch.length = 0;
  }

  private write(bytes: Uint8Array): void {
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(this.fd, bytes, done);
    } catch (error) {
      throw this.failed(error);
    }
    this.at += bytes.length;
  }

  private failed(error: unknown): TraceError {
    return new TraceError('E_WRITE', `cannot be written (${systemReason(error)})`, { source: this.path });
  }
}
