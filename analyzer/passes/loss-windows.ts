/** More stretches than this are taken together from there on. */
export const MAX_WINDOWS = 65_536;

/**
 * The stretches of time in which a source may have lost records, merged and sorted. A span that touches one
 * is flagged and kept out of percentiles: what it lacks cannot be told from what did not happen.
 */
export class LossWindows {
  private from: number[] = [];
  private to: number[] = [];
  private sealed = true;

  /** Times in trace-axis ns. A loss of unknown begin has from = -Infinity. */
  add(from: number, to: number): void {
    const last = this.from.length - 1;
    if (last >= 0 && this.sealed && from >= this.from[last]! && from <= this.to[last]!) {
      this.to[last] = Math.max(this.to[last]!, to);
      return;
    }
    if (last + 1 >= MAX_WINDOWS) {
      // Rather too much is left out than that the list grows with the trace.
      this.from[last] = Math.min(this.from[last]!, from);
      this.to[last] = Math.max(this.to[last]!, to);
      this.sealed = false;
      return;
    }
    this.from.push(from);
    this.to.push(to);
    this.sealed = this.from.length === 1 || (this.sealed && from >= this.from[last]!);
  }

  get count(): number {
    this.seal();
    return this.from.length;
  }

  /** Begins and ends of the windows, axis ns, merged and sorted. */
  bounds(): { from: readonly number[]; to: readonly number[] } {
    this.seal();
    return { from: this.from, to: this.to };
  }

  /** Whether [start, end] has an instant in common with a window. */
  touches(start: number, end: number): boolean {
    if (this.from.length === 0) return false;
    this.seal();
    let low = 0;
    let high = this.from.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.to[middle]! < start) low = middle + 1;
      else high = middle;
    }
    return low < this.from.length && this.from[low]! <= end;
  }

  private seal(): void {
    if (this.sealed) return;
    const order = this.from.map((_, i) => i).sort((a, b) => this.from[a]! - this.from[b]!);
    const from: number[] = [];
    const to: number[] = [];
    for (const i of order) {
      const last = from.length - 1;
      if (last >= 0 && this.from[i]! <= to[last]!) to[last] = Math.max(to[last]!, this.to[i]!);
      else {
        from.push(this.from[i]!);
        to.push(this.to[i]!);
      }
    }
    this.from = from;
    this.to = to;
    this.sealed = true;
  }
}
