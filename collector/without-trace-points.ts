import type { EventBatch } from '../trace/columns.ts';
import { K } from '../trace/events.ts';
import type { StringTable } from '../trace/strings.ts';
import type { DecodeReport, EventDecoder, SourceClock } from './sources/source.ts';

/** A decoder's rows without those of Xen's Arm trace points: what a Xen without them would have recorded. */
export class WithoutTracePoints implements EventDecoder {
  readonly clock: SourceClock;
  readonly strings: StringTable;
  readonly report: DecodeReport;
  private readonly inner: EventDecoder;

  constructor(inner: EventDecoder) {
    this.inner = inner;
    this.clock = inner.clock;
    this.strings = inner.strings;
    this.report = inner.report;
  }

  fill(out: EventBatch): boolean {
    const from = out.length;
    const more = this.inner.fill(out);
    out.length = dropTracePoints(out, from);
    return more;
  }
}

/** Moves the rows behind `from` that stay together; gives the new length. */
function dropTracePoints(batch: EventBatch, from: number): number {
  const { ts, kind, cpu, domid, vcpu, pid, addr, data, arg0, arg1, arg2, arg3, length } = batch;
  const columns = [ts, kind, cpu, domid, vcpu, pid, arg0, arg1, arg2, arg3];
  let to = from;
  for (let i = from; i < length; i++) {
    if (kind[i]! >= K.ARM_S2_ABORT && kind[i]! <= K.ARM_CNTVOFF) continue;
    if (to < i) {
      for (const column of columns) column[to] = column[i]!;
      for (const column of [addr, data]) {
        column[2 * to] = column[2 * i]!;
        column[2 * to + 1] = column[2 * i + 1]!;
      }
    }
    to++;
  }
  return to;
}
