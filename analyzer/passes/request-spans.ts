import { DIR_UNKNOWN, SPAN_FLAG } from '../../trace/spans.ts';
import { Q, Q_WIDTH } from './dom0-tape.ts';
import type { LossWindows } from './loss-windows.ts';
import { RecordQueue } from './record-queue.ts';
import { NOTIFY_RING, REQUEST_TYPE } from './requests.ts';
import type { SpanSink } from './span-sink.ts';

/** Writes the spans of requests: what Dom0 knows of each, and the guest's own instant of its notify. */
export class RequestSpans {
  private readonly sink: SpanSink;
  private readonly losses: readonly LossWindows[];
  private readonly due = new RecordQueue(Q_WIDTH);
  /** By Dom0's number of the notify, modulo their length: that number, and the guest's time, axis ns. */
  private readonly notifySeq = new Float64Array(NOTIFY_RING).fill(-1);
  private readonly notifyTime = new Float64Array(NOTIFY_RING).fill(NaN);

  constructor(sink: SpanSink, losses: readonly LossWindows[]) {
    this.sink = sink;
    this.losses = losses;
  }

  /** The guest's instant of the notify with Dom0's number `seq`. */
  notifyTimed(seq: number, guest: number): void {
    const at = seq & (NOTIFY_RING - 1);
    this.notifySeq[at] = seq;
    this.notifyTime[at] = guest;
  }

  /** A request that is over: a record of Q, at `at`. */
  add(values: Float64Array, at: number): void {
    this.due.push(values, at);
  }

  /** Writes all that were added: the ioreqs that were answered with them have been joined. */
  giveOut(): void {
    while (this.due.length > 0) this.emit();
  }

  flush(): void {
    this.sink.flush();
  }

  private emit(): void {
    const { due, sink } = this;
    const c = sink.columns;
    const row = sink.row();
    const r = due.values;
    const from = due.offset(0);
    const seq = r[from + Q.SEQ]!;
    const at = seq & (NOTIFY_RING - 1);
    const notify = seq >= 0 && this.notifySeq[at] === seq ? this.notifyTime[at]! : NaN;
    const popped = r[from + Q.POPPED]!;
    const used = r[from + Q.USED]!;
    const interrupt = r[from + Q.INTERRUPT]!;
    c.at[0]![row] = notify;
    c.at[1]![row] = popped;
    c.at[2]![row] = used;
    c.at[3]![row] = interrupt;
    let flags = 0;
    if (Number.isNaN(notify) || Number.isNaN(used)) flags |= SPAN_FLAG.INCOMPLETE;
    if (Number.isNaN(used)) flags |= SPAN_FLAG.CUT;
    if (seq < 0) flags |= SPAN_FLAG.UNNOTIFIED;
    const start = Number.isNaN(notify) ? popped : notify;
    const end = Number.isNaN(interrupt) ? (Number.isNaN(used) ? popped : used) : interrupt;
    for (const windows of this.losses) if (windows.touches(start, end)) flags |= SPAN_FLAG.LOSS;
    const type = r[from + Q.TYPE]!;
    c.start[row] = start;
    c.total[row] = used - notify;
    c.device[row] = r[from + Q.DEVICE]!;
    c.key[row] = r[from + Q.QUEUE]!;
    c.vcpu[row] = 0xffff;
    c.dir[row] = type === REQUEST_TYPE.IN ? 1 : type === REQUEST_TYPE.OUT ? 0 : DIR_UNKNOWN;
    c.type[row] = type;
    c.flags[row] = flags;
    c.amount[row] = r[from + Q.BYTES]!;
    c.value[row] = r[from + Q.DEPTH]!;
    c.group[row] = r[from + Q.GROUP]!;
    due.shift();
    sink.commit();
  }
}
