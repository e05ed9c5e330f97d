import type { SpanLog } from './span-log.ts';

/** Pairs of rows: exact.rows[n] and estimate.rows[n] tell of the same thing. */
export interface Pairs {
  readonly exact: Int32Array;
  readonly estimate: Int32Array;
  readonly length: number;
}

/** What a row is known by: rows with the same `group` and `key` (to half a unit) are one and the same. */
export interface Identity {
  readonly group: (row: number) => number;
  /** NaN: nothing tells which one it is. */
  readonly key: (row: number) => number;
}

/**
 * Pairs the rows of two logs, each at most once, by what both recorded of the same event: not by their number, so that
 * one too many on either side shifts nothing. `taken` marks the rows that have a partner already; new ones are added.
 */
export function pairRows(
  exact: SpanLog,
  estimate: SpanLog,
  ofExact: Identity,
  ofEstimate: Identity,
  taken: Taken,
): Pairs {
  const left = inOrder(exact.length, ofExact, taken.exact);
  const right = inOrder(estimate.length, ofEstimate, taken.estimate);
  const pairs = {
    exact: new Int32Array(Math.min(left.length, right.length)),
    estimate: new Int32Array(Math.min(left.length, right.length)),
    length: 0,
  };
  for (let i = 0, j = 0; i < left.length && j < right.length;) {
    const a = left[i]!;
    const b = right[j]!;
    const group = ofExact.group(a) - ofEstimate.group(b);
    const apart = group === 0 ? ofExact.key(a) - ofEstimate.key(b) : group;
    if (group === 0 && Math.abs(apart) < 0.5) {
      pairs.exact[pairs.length] = a;
      pairs.estimate[pairs.length++] = b;
      taken.exact[a] = taken.estimate[b] = 1;
      i++;
      j++;
    } else if (apart < 0) i++;
    else j++;
  }
  return pairs;
}

/** Rows that have a partner. */
export interface Taken {
  readonly exact: Uint8Array;
  readonly estimate: Uint8Array;
}

export function noneTaken(exact: SpanLog, estimate: SpanLog): Taken {
  return { exact: new Uint8Array(exact.length), estimate: new Uint8Array(estimate.length) };
}

export function joinPairs(a: Pairs, b: Pairs): Pairs {
  const length = a.length + b.length;
  const joined = { exact: new Int32Array(length), estimate: new Int32Array(length), length };
  for (const side of ['exact', 'estimate'] as const) {
    joined[side].set(a[side].subarray(0, a.length));
    joined[side].set(b[side].subarray(0, b.length), a.length);
  }
  return joined;
}

/** The rows that have a key and no partner yet, by group and key. */
function inOrder(rows: number, { group, key }: Identity, taken: Uint8Array): Int32Array {
  const order = new Int32Array(rows);
  let n = 0;
  for (let row = 0; row < rows; row++) if (taken[row] === 0 && !Number.isNaN(key(row))) order[n++] = row;
  return order.subarray(0, n).sort((a, b) => group(a) - group(b) || key(a) - key(b));
}
