import { writeAccessJsonl } from '../../sources/access-jsonl/write.ts';
import { ChainTracker } from '../chain-tracker.ts';
import { BASE } from './recorded.ts';
import { rows, story, type Row } from './story.ts';

/** A tracker over hand-made memory with a modern device in transport 0, split queues of 4 entries each. */
export class Bench {
  readonly ram = new DataView(new ArrayBuffer(1 << 16));
  private readonly lines: string[] = [];
  readonly tracker: ChainTracker;

  constructor(queues = 1, features = 0) {
    const bytes = new Uint8Array(this.ram.buffer);
    this.tracker = new ChainTracker({
      read: (gpa, length) =>
        gpa >= 0 && gpa + length <= bytes.length ? bytes.subarray(gpa, gpa + length) : undefined,
      base: BASE,
      slots: 2,
      flush: (batch) => this.lines.push(writeAccessJsonl(batch)),
    });
    this.write(0x24, 0);
    this.write(0x20, features);
    for (let queue = 0; queue < queues; queue++) {
      this.write(0x30, queue);
      this.write(0x38, 4);
      for (const [i, area] of [0, 0x100, 0x200].entries()) this.write(0x80 + 0x10 * i, 0x1000 * queue + area);
      this.write(0x44, 1);
    }
  }

  write(offset: number, value: number): void {
    this.tracker.write(0, BASE + offset, 4, value);
  }

  readStatus(value = 1): void {
    this.tracker.read(0, BASE + 0x60, 4, value);
  }

  /** Descriptor `index` of a queue: one buffer, alone. */
  desc(queue: number, index: number, gpa: number, length: number, flags = 0): void {
    const at = 0x1000 * queue + 16 * index;
    this.ram.setBigUint64(at, BigInt(gpa), true);
    this.ram.setUint32(at + 8, length, true);
    this.ram.setUint16(at + 12, flags, true);
  }

  /** Makes heads available at the ring's index `from`. */
  avail(queue: number, from: number, ...heads: number[]): void {
    const at = 0x1000 * queue + 0x100;
    for (const [i, head] of heads.entries()) this.ram.setUint16(at + 4 + 2 * ((from + i) % 4), head, true);
    this.ram.setUint16(at + 2, from + heads.length, true);
  }

  used(queue: number, from: number, ...elements: [id: number, len: number][]): void {
    const at = 0x1000 * queue + 0x200;
    for (const [i, [id, len]] of elements.entries()) {
      this.ram.setUint32(at + 4 + 8 * ((from + i) % 4), id, true);
      this.ram.setUint32(at + 8 + 8 * ((from + i) % 4), len, true);
    }
    this.ram.setUint16(at + 2, from + elements.length, true);
  }

  usedFlags(queue: number, flags: number): void {
    this.ram.setUint16(0x1000 * queue + 0x200, flags, true);
  }

  story(): string[] {
    this.tracker.flush();
    return story(this.lines.join(''));
  }

  rows(): Row[] {
    this.tracker.flush();
    return rows(this.lines.join(''));
  }
}
