/**
 * Stretches of Xen's time in which records are known to be missing. What Xen's records seem to say about such
 * a stretch ("not running") is not certain: a whole run of a vCPU may lie in it unseen.
 */
export class LossWindows {
  private readonly from: number[] = [];
  private readonly to: number[] = [];
  private sorted = true;

  get count(): number {
    return this.from.length;
  }

  add(from: number, to: number): void {
    const last = this.from.length - 1;
    // Losses come in order of their end; merging neighbours keeps the list short where losses are many.
    if (last >= 0 && from <= this.to[last]!) {
      this.from[last] = Math.min(from, this.from[last]!);
      this.to[last] = Math.max(to, this.to[last]!);
    } else if (last + 1 >= MAX_WINDOWS) {
      this.to[last] = to;
    } else {
      this.from.push(from);
      this.to.push(to);
    }
    this.sorted = false;
  }

  /** Whether [from, to] touches a loss. */
  touches(from: number, to: number): boolean {
    if (!this.sorted) this.merge();
    let low = 0;
    let high = this.to.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.to[middle]! < from) low = middle + 1;
      else high = middle;
    }
    return low < this.from.length && this.from[low]! <= to;
  }

  /** Folds windows that reach back over earlier ones, so that both ends ascend. */
  private merge(): void {
    const { from, to } = this;
    let kept = 0;
    for (let i = 0; i < from.length; i++) {
      let start = from[i]!;
      while (kept > 0 && to[kept - 1]! >= start) start = Math.min(start, from[--kept]!);
      from[kept] = start;
      to[kept++] = to[i]!;
    }
    from.length = kept;
    to.length = kept;
    this.sorted = true;
  }
}

const MAX_WINDOWS = 65_536;
