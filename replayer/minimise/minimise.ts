import { createHash } from 'node:crypto';
import { REC_TAG, type RecordingBatch } from '../../trace/recording.ts';
import type { Shows } from './ddmin.ts';
import { ddmin, shortestBegin } from './ddmin.ts';
import type { RecordingUnits } from './units.ts';

export interface Minimised {
  /** Rows that remain, rising. */
  rows: Uint32Array;
  /** Recordings that were tried, and how often the answer was known already. */
  tried: number;
  known: number;
  /** False if `limit` ended it: more may go. */
  minimal: boolean;
}

export interface MinimiseOptions {
  /** Whether a recording of these batches still shows what is looked for. */
  shows: (batches: readonly RecordingBatch[]) => boolean | Promise<boolean>;
  /** Recordings to try at most. */
  limit: number;
  /** Called before each try: what is being taken away, rows that remain, tries so far. */
  progress?: (what: string, rows: number, tried: number) => void;
}

/**
 * The shortest recording that was found to show it still. What is taken away, in this order: everything behind;
 * whole devices; accesses with all that belongs to them; accesses alone (what the driver put into memory stays, so
 * that a later notify is served with it); memory and used records. The driver's set-up goes the same way: what of it remains
 * was tried without and is needed. Until nothing more goes or `limit` is reached.
 *
 * Whether something may go is up to `shows` alone: a recording that became invalid must not show it. Undefined if the
 * whole recording does not show it.
 */
export async function minimise(
  units: RecordingUnits,
  { shows, limit, progress }: MinimiseOptions,
): Promise<Minimised | undefined> {
  const answers = new Map<string, boolean>();
  const all: Uint32Array = Uint32Array.from({ length: units.rows }, (_, row) => row);
  const state = { kept: all, tried: 0, known: 0 };
  const test = async (what: string, rows: Uint32Array): Promise<boolean> => {
    const key = keyOf(units.rows, rows);
    const before = answers.get(key);
    if (before !== undefined) {
      state.known++;
      return before;
    }
    if (state.tried >= limit) return false;
    progress?.(what, rows.length, state.tried);
    state.tried++;
    const answer = await shows(units.select(rows));
    answers.set(key, answer);
    return answer;
  };
  if (!(await test('the whole recording', state.kept))) return undefined;

  /** Minimises with respect to one way of dividing the rows that remain; rows of unit -1 stay. */
  const reduce = async (
    what: string,
    unitOf: (row: number) => number,
    how: (units: Uint32Array, shows: Shows) => Promise<Uint32Array>,
  ): Promise<void> => {
    const before = state.kept;
    const ids = [...new Set([...before].map(unitOf).filter((unit) => unit >= 0))].sort((a, b) => a - b);
    const rowsOf = (kept: Uint32Array): Uint32Array => {
      const stay = new Set(kept);
      return before.filter((row) => unitOf(row) < 0 || stay.has(unitOf(row)));
    };
    const left = await how(Uint32Array.from(ids), (kept) => test(what, rowsOf(kept)));
    state.kept = rowsOf(left);
  };

  const { tag, group, transport } = units;
  const isAccess = (row: number): boolean =>
    tag[row] === REC_TAG.READ || tag[row] === REC_TAG.WRITE || tag[row] === REC_TAG.NOTIFY;
  await reduce('what comes behind', (row) => group[row]!, shortestBegin);
  await reduce('devices', (row) => transport[row]!, ddmin);
  for (let before = Infinity; state.kept.length < before && state.tried < limit;) {
    before = state.kept.length;
    await reduce('accesses with their memory', (row) => group[row]!, ddmin);
    await reduce('accesses', (row) => (isAccess(row) ? group[row]! : -1), ddmin);
    await reduce('memory and used records', (row) => (isAccess(row) ? -1 : row), ddmin);
  }
  return { rows: state.kept, tried: state.tried, known: state.known, minimal: state.tried < limit };
}

/** One bit a row, as text. */
function keyOf(rows: number, kept: Uint32Array): string {
  const bits = new Uint8Array((rows + 7) >>> 3);
  for (const row of kept) bits[row >>> 3]! |= 1 << (row & 7);
  return createHash('sha256').update(bits).digest('base64');
}
