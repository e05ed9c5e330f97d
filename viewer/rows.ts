import type { PageRows } from '../analyzer/page/page-format.ts';
import type { SpanFamily } from '../trace/spans.ts';
import type { Range } from './engine/query.ts';

/** Rows of one family that are held at most, beside the page's own: 40 MB. */
const MOST_ROWS = 400_000;

/** What is to be read around a window: some time on both sides, if that is not too much; null if the window alone is. */
export function partAround({ chunks }: PageRows, { lo, hi }: Range): Range | null {
  for (const more of [1, 0.25, 0]) {
    const range = { lo: lo - more * (hi - lo), hi: hi + more * (hi - lo) };
    if (
      Object.values(chunks).every(
        (c) => touching(c, range).reduce((sum, { rows }) => sum + rows, 0) <= MOST_ROWS,
      )
    )
      return range;
  }
  return null;
}

const touching = <T extends { from: number; to: number }>(chunks: readonly T[], { lo, hi }: Range): T[] =>
  chunks.filter(({ from, to }) => from < hi && to >= lo);

export type Parts = Partial<Record<SpanFamily, Uint8Array[]>>;

/** The chunks of a range: from the file, or of the server that the page comes from. Rejects with what is wrong where. */
export async function readParts({ chunks }: PageRows, range: Range, file: Blob | null): Promise<Parts> {
  const parts: Parts = {};
  for (const [family, all] of Object.entries(chunks) as [
    SpanFamily,
    (typeof chunks)[SpanFamily] & object,
  ][]) {
    const pieces: Uint8Array[] = [];
    for (const { at, bytes } of touching(all, range)) {
      const end = at + bytes;
      const from = file === null ? await fetch(`rows?${at}-${end}`) : file.slice(at, end);
      const piece = new Uint8Array(await from.arrayBuffer());
      if (piece.length !== bytes) throw new Error(`rows at byte ${at}: ${bytes} bytes are ${piece.length}`);
      pieces.push(piece);
    }
    parts[family] = pieces;
  }
  return parts;
}
