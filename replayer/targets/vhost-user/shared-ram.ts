import type { RamBank } from '../../../devices/guest-memory.ts';
import type { ReplaySetup } from '../../target.ts';
import type { Posix } from './posix.ts';
import { MOST_REGIONS, type Region } from './protocol.ts';

const MIB = 1 << 20;

/**
 * Guest RAM that back-ends map too, with a private stretch behind it, at addresses that the recorded guest does not
 * use: there lie the rings between us and a back-end.
 */
export class SharedRam {
  readonly fd: number;
  readonly banks: readonly RamBank[];
  /** What a back-end must map: the banks and the private stretch. */
  readonly regions: readonly Region[];
  private readonly own: RamBank;
  private next = 0;
  private readonly release: () => void;

  /** `ownBytes` for the private stretch; only touched pages cost memory. */
  constructor(posix: Posix, ram: ReplaySetup['ram'], ownBytes: number) {
    const spans = joined(ram, MOST_REGIONS - 1);
    const last = spans.at(-1);
    const ownBase = last === undefined ? MIB : Math.ceil((last.base + last.length) / MIB) * MIB + MIB;
    const ownLength = Math.ceil(ownBytes / MIB) * MIB;
    let fileOffset = 0;
    this.regions = [...spans, { base: ownBase, length: ownLength }].map(({ base, length }) => {
      const region = { gpa: base, length, fileOffset };
      fileOffset += length;
      return region;
    });
    const memory = posix.sharedMemory('ioreq-trace-ram', fileOffset);
    this.fd = memory.fd;
    this.release = memory.release;
    const all = this.regions.map((region) => ({
      base: region.gpa,
      bytes: memory.bytes.subarray(region.fileOffset, region.fileOffset + region.length),
    }));
    this.own = all.pop()!;
    this.banks = all;
  }

  /** Takes zeroed private memory; `align` in bytes, a power of two of at most a page. */
  take(length: number, align: number): { gpa: number; bytes: Uint8Array } {
    const at = Math.ceil(this.next / align) * align;
    if (at + length > this.own.bytes.length) throw new RangeError('the private memory is used up');
    this.next = at + length;
    return { gpa: this.own.base + at, bytes: this.own.bytes.subarray(at, at + length) };
  }

  close(): void {
    this.release();
  }
}

/** At most `most` banks: the closest neighbours become one, with the hole between them. */
function joined(ram: ReplaySetup['ram'], most: number): { base: number; length: number }[] {
  const spans = ram.map(({ base, length }) => ({ base, length }));
  const gap = (i: number): number => spans[i]!.base - spans[i - 1]!.base - spans[i - 1]!.length;
  while (spans.length > most) {
    let at = 1;
    for (let i = 2; i < spans.length; i++) if (gap(i) < gap(at)) at = i;
    const [upper] = spans.splice(at, 1);
    spans[at - 1]!.length = upper!.base + upper!.length - spans[at - 1]!.base;
  }
  return spans;
}
