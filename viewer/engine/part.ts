import { groupRows, type SpanTable } from './table.ts';

/**
 * Of a sample and pieces of the file of all rows: the table of all spans that begin in [lo, hi), ordered by start.
 * Rows of the sample have their numbers in it, so that none of them can be taken for another one, but nothing else:
 * they begin before all times and count in no figure.
 */
export function partOf(whole: SpanTable, pieces: readonly SpanTable[], lo: number, hi: number): SpanTable {
  const from: number[] = [];
  const rows: number[] = [];
  pieces.forEach(({ start }, p) => {
    for (let i = 0; i < start.length; i++) {
      if (start[i]! < lo || !(start[i]! < hi)) continue;
      from.push(p);
      rows.push(i);
    }
  });
  const order = Uint32Array.from(rows, (_, k) => k);
  order.sort((a, b) => pieces[from[a]!]!.start[rows[a]!]! - pieces[from[b]!]!.start[rows[b]!]! || a - b);
  const n = whole.rows;
  const column = <T extends Float64Array | Uint32Array | Uint16Array | Uint8Array>(
    get: (t: SpanTable) => T,
  ): T => {
    const own = get(whole);
    const all = new (own.constructor as new (length: number) => T)(n + order.length);
    for (let k = 0; k < order.length; k++) {
      const at = order[k]!;
      all[n + k] = get(pieces[from[at]!]!)[rows[at]!]!;
    }
    return all;
  };
  /** Groups are numbered in the order in which they appear: in that of the sample first. */
  const known = <T extends Uint32Array | Uint16Array | Uint8Array>(get: (t: SpanTable) => T): T => {
    const all = column(get);
    all.set(get(whole));
    return all;
  };
  const table: SpanTable = {
    ...whole,
    rows: n + order.length,
    start: column((t) => t.start).fill(-Infinity, 0, n),
    total: column((t) => t.total),
    device: known((t) => t.device),
    key: known((t) => t.key),
    vcpu: column((t) => t.vcpu),
    dir: known((t) => t.dir),
    type: column((t) => t.type),
    flags: column((t) => t.flags),
    amount: column((t) => t.amount),
    value: column((t) => t.value),
    group: column((t) => t.group),
    weight: null,
    at: whole.at.map((_, b) => column((t) => t.at[b]!).fill(NaN, 0, n)),
    preempted: whole.preempted.map((_, b) => column((t) => t.preempted[b]!)),
    usable: column((t) => t.usable),
    groupOf: new Uint32Array(n + order.length),
    groups: [],
    cells: null,
    whole,
  };
  groupRows(table);
  return table;
}

/** The row of `other` that is row `row` of `table`; -1 if it is not there. */
export function sameRow(table: SpanTable, row: number, other: SpanTable): number {
  for (
    let i = other.start.indexOf(table.start[row]!);
    i >= 0;
    i = other.start.indexOf(table.start[row]!, i + 1)
  ) {
    const same = (get: (t: SpanTable) => ArrayLike<number>): boolean =>
      Object.is(get(other)[i], get(table)[row]);
    if (
      same((t) => t.total) &&
      same((t) => t.vcpu) &&
      same((t) => t.key) &&
      same((t) => t.device) &&
      same((t) => t.value) &&
      same((t) => t.group)
    )
      return i;
  }
  return -1;
}
