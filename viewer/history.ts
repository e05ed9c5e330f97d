import type { SpanFamily } from '../trace/spans.ts';
import type { Box, Range } from './engine/query.ts';
import { update, view, type ViewState } from './state.ts';

interface Look {
  family: SpanFamily;
  window: Range | null;
  brush: Box | null;
  groups: readonly string[];
}

const looks: Look[] = [];
let at = -1;

const lookOf = ({ family, window, brush, groups }: ViewState): Look => ({ family, window, brush, groups });

let pending = 0;

/** Remembers what is looked at once it has come to rest: a drag passes through hundreds of boxes. */
export function rememberSoon(): void {
  clearTimeout(pending);
  pending = window.setTimeout(remember, 600);
}

/** Remembers what is looked at. What was undone is forgotten by a new look. */
export function remember(): void {
  const look = lookOf(view.get());
  if (at >= 0 && JSON.stringify(looks[at]) === JSON.stringify(look)) return;
  looks.splice(at + 1, looks.length, look);
  if (looks.length > 200) looks.shift();
  at = looks.length - 1;
}

/** Back (-1) or forth (1) through time, box and groups. */
export function stepHistory(by: number): void {
  remember();
  const look = looks[at + by];
  if (look === undefined) return;
  at += by;
  update({ ...look, ...(look.family === view.get().family ? {} : { selected: null }) });
}
