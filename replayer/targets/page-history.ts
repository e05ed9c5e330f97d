/** Bytes; that of most systems' memory management, and small enough that a ring's change costs little. */
const PAGE_SHIFT = 12;
const PAGE = 1 << PAGE_SHIFT;
const ZEROES = new Uint8Array(PAGE);

/** Contents of one page over time: from `at[i]` on it held `bytes[i]`. The first one holds from the begin. */
interface Versions {
  page: number;
  at: number[];
  bytes: Uint8Array[];
}

/**
 * What some memory held at chosen moments: of each page only the contents that differ from those at the moment before.
 * Whoever lets the memory be written calls `touch` first. A page once touched is compared at every moment: a device
 * model may hold on to a view and write to it later.
 */
export class PageHistory {
  /** Of pages kept, without those that are all zeroes. */
  heldBytes = 0;
  private readonly memory: Uint8Array;
  private readonly touched: Uint8Array;
  private versions: Versions[] = [];

  constructor(memory: Uint8Array) {
    this.memory = memory;
    this.touched = new Uint8Array(Math.ceil(memory.length / PAGE));
  }

  /** Before [offset, offset + length) may be written. */
  touch(offset: number, length: number): void {
    if (length === 0) return;
    const last = Math.floor((offset + length - 1) / PAGE);
    for (let page = Math.floor(offset / PAGE); page <= last; page++) {
      if (this.touched[page] !== 0) continue;
      this.touched[page] = 1;
      this.versions.push({ page, at: [-1], bytes: [this.copy(page)] });
    }
  }

  /** Keeps what there is now, as of moment `at`: later than all moments kept. */
  take(at: number): void {
    for (const versions of this.versions) {
      if (Buffer.compare(this.bytesOf(versions.page), versions.bytes.at(-1)!) === 0) continue;
      versions.at.push(at);
      versions.bytes.push(this.copy(versions.page));
    }
  }

  /** Puts back what there was at a moment that is kept. */
  back(at: number): void {
    for (const { page, at: moments, bytes } of this.versions) {
      let i = moments.length - 1;
      while (moments[i]! > at) i--;
      this.bytesOf(page).set(bytes[i]!);
    }
  }

  /** Forgets all moments but these; rising, the latest one taken among them. */
  keep(moments: readonly number[]): void {
    this.heldBytes = 0;
    for (const versions of this.versions) {
      const at: number[] = [-1];
      const bytes: Uint8Array[] = [versions.bytes[0]!];
      let m = 0;
      for (let i = 1; i < versions.at.length; i++) {
        while (moments[m]! < versions.at[i]!) m++;
        // Seen first at the next moment that stays; of several before it the last one.
        if (at.at(-1) === moments[m]!) bytes[bytes.length - 1] = versions.bytes[i]!;
        else {
          at.push(moments[m]!);
          bytes.push(versions.bytes[i]!);
        }
      }
      versions.at = at;
      versions.bytes = bytes;
      for (const one of bytes) if (one.buffer !== ZEROES.buffer) this.heldBytes += one.length;
    }
  }

  private bytesOf(page: number): Uint8Array {
    return this.memory.subarray(page * PAGE, (page + 1) * PAGE);
  }

  private copy(page: number): Uint8Array {
    const bytes = this.bytesOf(page);
    const zeroes = ZEROES.subarray(0, bytes.length);
    if (Buffer.compare(bytes, zeroes) === 0) return zeroes;
    this.heldBytes += bytes.length;
    return bytes.slice();
  }
}
