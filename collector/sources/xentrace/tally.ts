import { CPU_CHANGE, KNOWN } from './records.ts';

const PAGE_BITS = 12;
/** 12 classes of 16 subclass bits each. */
const PAGES = 12 << 4;
const CPU_CHANGE_POSITION = KNOWN.findIndex((record) => record.id === CPU_CHANGE);

/**
 * How often each record id occurred, without a Map in the decoding loop: a counter a known id, and pages of
 * counters, made on first use, for all the others.
 */
export class Tally {
  /** By position in KNOWN; position 0 counts the ids of `countOther` together. */
  readonly known = new Float64Array(KNOWN.length);
  /** Unlisted ids that came up since the last `into`. */
  private readonly fresh: number[] = [];
  private readonly pages: (Float64Array | undefined)[] = new Array<Float64Array | undefined>(PAGES);

  /** `id` must have exactly one class bit. */
  countOther(id: number): void {
    const classBit = 31 - Math.clz32((id >>> 16) & 0xfff);
    const index = (classBit << 4) | ((id >>> PAGE_BITS) & 15);
    const page = (this.pages[index] ??= new Float64Array(1 << PAGE_BITS));
    const count = page[id & 0xfff]! + 1;
    page[id & 0xfff] = count;
    if (count === 1) this.fresh.push(id);
  }

  countCpuChange(): void {
    this.known[CPU_CHANGE_POSITION]! += 1;
  }

  /** The sum over all ids. */
  total(): number {
    return this.known.reduce((sum, count) => sum + count, 0);
  }

  /**
   * Brings `byName` up to date: names as they come up; counts of unlisted ids only `atEnd`, since to look at all of
   * those for every batch would cost more than decoding it.
   */
  into(byName: Map<string, number>, atEnd: boolean): void {
    KNOWN.forEach((record, position) => {
      const count = this.known[position]!;
      if (position > 0 && count > 0) byName.set(record.name, count);
    });
    for (const id of this.fresh.sort((a, b) => a - b)) byName.set(nameOf(id), 1);
    this.fresh.length = 0;
    if (!atEnd) return;
    this.pages.forEach((page, index) => {
      page?.forEach((count, low) => {
        if (count > 0)
          byName.set(nameOf((1 << (16 + (index >>> 4))) | ((index & 15) << PAGE_BITS) | low), count);
      });
    });
  }
}

function nameOf(id: number): string {
  return `0x${id.toString(16).padStart(5, '0')}`;
}
