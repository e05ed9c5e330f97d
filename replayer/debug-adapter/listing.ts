import type { DebugProtocol } from '@vscode/debugprotocol';
import type { Steps } from '../debug/steps.ts';

/** The one source: its reference, and how editors know what language it is. */
export const LISTING_REFERENCE = 1;
export const LISTING_TYPE = 'text/x-ioreq-accesses';
/** Most lines of the listing: editors hold the text as a whole. Steps behind them have no line of their own. */
const MOST_LINES = 1_000_000;

/** The accesses of a recording as a source text, one a line: line k + 1 is position k. The last line is the end. */
export function listing(steps: Steps): string {
  const lines: string[] = [];
  const shown = Math.min(steps.count, MOST_LINES);
  for (let k = 0; k < shown; k++) lines.push(steps.text(k));
  lines.push(shown < steps.count ? `... and ${steps.count - shown} accesses more` : steps.text(steps.count));
  return `${lines.join('\n')}\n`;
}

export function lineOf(position: number): number {
  return Math.min(position, MOST_LINES) + 1;
}

/** Position of a line that the listing has; undefined for another. */
export function positionOf(steps: Steps, line: number): number | undefined {
  const last = Math.min(steps.count, MOST_LINES);
  return Number.isSafeInteger(line) && line >= 1 && line <= last ? line - 1 : undefined;
}

export function sourceOf(name: string): DebugProtocol.Source {
  return {
    name,
    sourceReference: LISTING_REFERENCE,
    presentationHint: 'normal',
    origin: 'recorded accesses',
  };
}
