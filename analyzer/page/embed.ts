import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { TraceError } from '../../trace/errors.ts';
import type { SpanBatch, SpanPlan } from '../../trace/spans.ts';
import {
  cellsBlock,
  OTHER,
  PAGE_MARKER,
  REPORT_BLOCK,
  spansBlock,
  type PageData,
  type PageReport,
  type PageRows,
} from './page-format.ts';
import { PageSpans } from './page-spans.ts';
import { cellsToArrow, spansToArrow } from './span-arrow.ts';

export interface SpanTableSource {
  plan: SpanPlan;
  batches: Iterable<SpanBatch>;
}

/** Collects a family's batches at once; a caller that streams uses PageSpans itself. */
export function collectSpans(source: SpanTableSource, limit?: number): PageSpans {
  const spans = new PageSpans(source.plan, limit);
  for (const batch of source.batches) spans.add(batch);
  return spans;
}

export interface PageTrace {
  report: PageReport;
  families: readonly PageSpans[];
  rows?: PageRows | undefined;
}

export interface WrittenPage {
  bytes: number;
  tables: PageData['tables'];
}

/**
 * Writes one self-contained page: the template's text with report and spans put in its place for data, and those
 * of the `other` trace that it is compared with. The file appears under its name only when it is whole. E_WRITE if
 * it cannot be written.
 */
export async function writePage(
  template: string,
  outputPath: string,
  report: PageReport,
  families: readonly PageSpans[],
  other?: PageTrace,
  rows?: PageRows,
): Promise<WrittenPage> {
  const ends = splitTemplate(template);
  const traces = [{ report, families, rows }, ...(other === undefined ? [] : [other])];
  const partial = `${outputPath}.partial`;
  let bytes = 0;
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done): void {
      bytes += chunk.length;
      done(null, chunk);
    },
  });
  try {
    await pipeline(Readable.from(parts(ends, traces)), count, createWriteStream(partial));
    await rename(partial, outputPath);
  } catch (error) {
    await rm(partial, { force: true });
    throw new TraceError('E_WRITE', `the page cannot be written: ${(error as Error).message}`, {
      source: outputPath,
    });
  }
  return { bytes, tables: families.map((f) => f.table) };
}

/** The template's text with data blocks before the place for a trace's own. */
export function withBlocks(template: string, blocks: string): string {
  return splitTemplate(template).join(blocks + PAGE_MARKER);
}

/** The template of a page that may ask its own server for rows: its policy allows that connection, and no other. */
export function servedTemplate(template: string): string {
  return template.replace("default-src 'none'", "default-src 'none'; connect-src 'self'");
}

function splitTemplate(template: string): readonly [string, string] {
  const at = template.lastIndexOf(PAGE_MARKER);
  if (at < 0) throw new TraceError('E_NOT_FOUND', 'the page template has no place for data');
  return [template.slice(0, at), template.slice(at + PAGE_MARKER.length)];
}

async function* parts(
  [head, tail]: readonly [string, string],
  traces: readonly PageTrace[],
): AsyncGenerator<Buffer> {
  yield Buffer.from(head);
  for (const [n, { report, families, rows }] of traces.entries()) {
    const prefix = n === 0 ? '' : OTHER;
    const data: PageData = {
      version: 1,
      report,
      tables: families.map((f) => f.table),
      ...(rows !== undefined && { rows }),
    };
    yield* block(prefix + REPORT_BLOCK, Buffer.from(JSON.stringify(data, safeNumbers)));
    for (const family of families) {
      const { columns, weight } = family.take();
      const bytes = spansToArrow(family.plan, columns, weight);
      yield* block(prefix + spansBlock(family.plan.family), bytes);
      if (family.cells !== undefined) {
        yield* block(prefix + cellsBlock(family.plan.family), cellsToArrow(family.cells.take()));
      }
    }
  }
  yield Buffer.from(tail);
}

/** JSON has no 64-bit integers; a report with one must not end the page. */
const safeNumbers = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString() : value;

/** `<script type="text/plain">` with gzip in base64, streamed: 3 bytes in, 4 characters out. */
async function* block(id: string, bytes: Uint8Array): AsyncGenerator<Buffer> {
  yield Buffer.from(`<script type="text/plain" id="${id}">`);
  let rest: Buffer = Buffer.alloc(0);
  const gzip = Readable.from(slices(bytes)).pipe(createGzip({ level: 6 }));
  for await (const chunk of gzip as AsyncIterable<Buffer>) {
    const joined = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = joined.length - (joined.length % 3);
    yield Buffer.from(joined.toString('base64', 0, whole));
    rest = joined.subarray(whole);
  }
  yield Buffer.from(`${rest.toString('base64')}</script>\n`);
}

const SLICE = 1 << 20;

function* slices(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += SLICE) yield bytes.subarray(at, at + SLICE);
}
