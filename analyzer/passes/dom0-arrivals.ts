import type { Lane } from '../streams.ts';
import { SLICE_NS } from '../streams.ts';
import { D_WIDTH } from './dom0-record.ts';
import type { TapeReader } from './dom0-tape.ts';
import { TAPE } from './dom0-tape.ts';
import type { Interrupts } from './interrupts.ts';
import { RecordQueue } from './record-queue.ts';
import type { RequestSpans } from './request-spans.ts';

// Module constants: a loop over records must not look a property up for every one.
const { END, IOREQ, IRQ_OPEN, KERNEL_OPEN, RAISE, REQUEST, SLICE } = TAPE;

/** Dom0's side as the joining passes see it: reads a tape slice by slice and hands every record to where it belongs. */
export class Dom0Arrivals implements Lane {
  /** Answered ioreqs by vCPU, in order of their answers. */
  readonly queues: RecordQueue[];
  /** By vCPU: when the kernel began to look at an ioreq that it may or may not answer, axis ns; NaN if at none. */
  readonly kernelOpen: Float64Array;
  /** By vCPU, at the end of the trace: 1 if an ioreq has interrupted Dom0 and is not answered yet. */
  readonly irqOpen: Uint8Array;
  private readonly tape: TapeReader;
  private readonly interrupts: Interrupts;
  private readonly requests: RequestSpans;
  private readonly closed: () => void;
  private over = false;

  constructor(options: {
    tape: TapeReader;
    vcpus: number;
    interrupts: Interrupts;
    requests: RequestSpans;
    /** Called when nothing more is read. */
    closed: () => void;
  }) {
    this.tape = options.tape;
    this.interrupts = options.interrupts;
    this.requests = options.requests;
    this.closed = options.closed;
    this.queues = Array.from({ length: options.vcpus }, () => new RecordQueue(D_WIDTH));
    this.kernelOpen = new Float64Array(options.vcpus).fill(NaN);
    this.irqOpen = new Uint8Array(options.vcpus);
  }

  /** Begin of the next slice with rows; Infinity if there is none. */
  get head(): number {
    if (this.over) return Infinity;
    const at = this.tape.next();
    return this.tape.values[at + 2]! - SLICE_NS;
  }

  until(watermark: number): void {
    const { tape } = this;
    while (!this.over) {
      const at = tape.next();
      const end = tape.values[at + 1]!;
      if (end > watermark) return;
      tape.take();
      this.slice();
      this.over = end === Infinity;
    }
  }

  close(): void {
    this.closed();
  }

  private slice(): void {
    const { tape, queues, kernelOpen } = this;
    kernelOpen.fill(NaN);
    for (;;) {
      const at = tape.next();
      const { values } = tape;
      switch (values[at]) {
        case IOREQ:
          queues[values[at + 1]!]!.push(values, at + 2);
          break;
        case RAISE:
          this.interrupts.raise(values[at + 1]!, values[at + 2]!, values[at + 3] === 1);
          break;
        case REQUEST:
          this.requests.add(values, at + 1);
          break;
        case KERNEL_OPEN:
          kernelOpen[values[at + 1]!] = values[at + 2]!;
          break;
        case IRQ_OPEN:
          this.irqOpen[values[at + 1]!] = 1;
          break;
        case END:
          tape.take();
          return;
        default:
          throw new Error(
            `a tape of Dom0's with a record of kind ${values[at]} in a slice (${SLICE} begins one)`,
          );
      }
      tape.take();
    }
  }
}
