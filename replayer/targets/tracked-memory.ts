import { RamBanks, type RamBank } from '../../devices/guest-memory.ts';
import { MemoryDisk } from '../../devices/models/disk.ts';
import { PageHistory } from './page-history.ts';

/** Guest RAM whose contents at chosen moments can be had back. */
export class TrackedRam extends RamBanks {
  readonly histories: readonly PageHistory[];

  constructor(banks: readonly RamBank[]) {
    super(banks);
    this.histories = this.banks.map(({ bytes }) => new PageHistory(bytes));
  }

  override view(gpa: number, length: number): Uint8Array {
    const bytes = super.view(gpa, length);
    this.touch(gpa, length);
    return bytes;
  }

  override setU16(gpa: number, value: number): void {
    this.touch(gpa, 2);
    super.setU16(gpa, value);
  }

  override setU32(gpa: number, value: number): void {
    this.touch(gpa, 4);
    super.setU32(gpa, value);
  }

  /** What is not RAM is left to the access itself. */
  private touch(gpa: number, length: number): void {
    for (const [i, { base, bytes }] of this.banks.entries()) {
      if (gpa < base || gpa + length > base + bytes.length) continue;
      this.histories[i]!.touch(gpa - base, length);
      return;
    }
  }
}

/** A disk of the same kind. */
export class TrackedDisk extends MemoryDisk {
  readonly history = new PageHistory(this.bytes);

  override write(offset: number, from: Uint8Array): void {
    this.history.touch(offset, from.length);
    super.write(offset, from);
  }

  override writeZeroes(offset: number, length: number): void {
    this.history.touch(offset, length);
    super.writeZeroes(offset, length);
  }
}
