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
  private readonly pages: (Float64Array | undefined)[] = new Array<Float64Array | undefined>(PAGES);

  /** `id` must have exactly one class bit. */
  countOther(id: number): void {
    const classBit = 31 - Math.clz32((id >>> 16) & 0xfff);
    const index = (classBit << 4) | ((id >>> PAGE_BITS) & 15);
    const page = (this.pages[index] ??= new Float64Array(1 << PAGE_BITS));
    page[id & 0xfff]! += 1;
  }

  countCpuChange(): void {
    this.known[CPU_CHANGE_POSITION]! += 1;
  }

  /** The sum over all ids. */
  total(): number {
    return this.known.reduce((sum, count) => sum + count, 0);
  }

  /** Brings `byName` up to date: not for every batch, as it looks at every counter. */
  into(byName: Map<string, number>): void {
    KNOWN.forEach((record, position) => {
      const count = this.known[position]!;
      if (position === 0 || count === 0) return;
      byName.set(record.name, count);
    });
    this.pages.forEach((page, index) => {
      page?.forEach((count, low) => {
        if (count === 0) return;
        const id = (1 << (16 + (index >>> 4))) | ((index & 15) << PAGE_BITS) | low;
        byName.set(`0x${id.toString(16).padStart(5, '0')}`, count);
      });
    });
  }
}
