import type { GuestMemory } from '../guest-memory.ts';
import type { Segment } from '../queue/chain.ts';

/** A stretch of guest RAM out of which a mock driver takes rings and buffers, one after another. */
export class Arena {
  readonly memory: GuestMemory;
  private next: number;
  private readonly end: number;

  constructor(memory: GuestMemory, base: number, length: number) {
    this.memory = memory;
    this.next = base;
    this.end = base + length;
  }

  /** A zeroed buffer; `align` in bytes. */
  take(length: number, align = 16): Segment {
    const gpa = Math.ceil(this.next / align) * align;
    if (gpa + length > this.end) throw new RangeError(`the driver's memory is used up: ${length} more bytes`);
    this.next = gpa + length;
    this.memory.view(gpa, length).fill(0);
    return { gpa, length };
  }

  put(bytes: Uint8Array): Segment {
    const segment = this.take(bytes.length);
    this.memory.view(segment.gpa, bytes.length).set(bytes);
    return segment;
  }

  /** For tests that would need much memory: everything taken after mark() is given up by rewind(). */
  mark(): number {
    return this.next;
  }

  rewind(mark: number): void {
    this.next = mark;
  }
}
