import { cellsBlock, OTHER, REPORT_BLOCK, spansBlock } from '../analyzer/page/page-format.ts';
import { SPAN_FAMILIES } from '../trace/manifest.ts';
import type { SpanFamily } from '../trace/spans.ts';

/** The text of a trace's data blocks: gzip in base64. */
export interface Blocks {
  report: string;
  spans: Partial<Record<SpanFamily, string>>;
  cells: Partial<Record<SpanFamily, string>>;
}

function blocksBy(find: (id: string) => string | undefined, prefix: string): Blocks | null {
  const report = find(prefix + REPORT_BLOCK);
  if (report === undefined) return null;
  const blocks: Blocks = { report, spans: {}, cells: {} };
  for (const family of SPAN_FAMILIES) {
    const spans = find(prefix + spansBlock(family));
    if (spans !== undefined) blocks.spans[family] = spans;
    const cells = find(prefix + cellsBlock(family));
    if (cells !== undefined) blocks.cells[family] = cells;
  }
  return blocks;
}

/** The traces that this page holds: one, or two to compare. Their text is taken out of the page. */
export function ownBlocks(): Blocks[] {
  const take = (id: string): string | undefined => {
    const element = document.getElementById(id);
    element?.remove();
    return element?.textContent;
  };
  return ['', OTHER].map((prefix) => blocksBy(take, prefix)).filter((b) => b !== null);
}

/** The report blocks of traces to look at in a page without one of its own; `data-sample` says what each is. */
export const samples = (): HTMLElement[] => [...document.querySelectorAll<HTMLElement>('[data-sample]')];

export const sampleBlocks = ({ id }: HTMLElement): Blocks =>
  blocksBy((i) => document.getElementById(i)?.textContent, id.replace(REPORT_BLOCK, ''))!;

/** A browser holds no larger text; and a page larger than some tens of MB is no page to look at. */
const MOST = 400e6;

/** The first trace in a page that `trace view` wrote, from a file. Throws an Error that says what the file is not. */
export async function fileBlocks(file: File): Promise<Blocks> {
  if (file.size > MOST) {
    throw new Error(
      `${file.name} has ${Math.round(file.size / 1e6)} MB, more than a page can hold: use a smaller --max-spans`,
    );
  }
  const text = await file.text();
  const blocks = blocksBy((id) => {
    const head = `<script type="text/plain" id="${id}">`;
    const at = text.indexOf(head);
    const end = text.indexOf('<', at + head.length);
    return at < 0 ? undefined : text.slice(at + head.length, end < 0 ? undefined : end);
  }, '');
  if (blocks !== null) return blocks;
  const part = /^(manifest\.json|events-.*\.arrows)$/.test(file.name);
  throw new Error(
    part
      ? `${file.name} is a part of a trace: choose its whole directory`
      : `${file.name} is no page with a trace, as trace view T -o page.html writes`,
  );
}
