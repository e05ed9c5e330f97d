import type { EventColumns } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';

const { DM_IOREQ, DOM0_EVTCHN_IRQ, DOM0_EVTCHN_NOTIFY, DOM0_EVTCHN_READ } = K;

/**
 * The n-th ioreq of a device model's log with the n-th answer of its thread, side by side. `stamp`, `from` and
 * `answer` are ns since the epoch of the log and of Dom0.
 */
export class LogPairs {
  /** Stamp of the ioreq; NaN if the log has none (left). */
  stamp = NaN;
  /**
   * The latest instant that is known to lie before the ioreq was taken up; NaN if there is none. That is the
   * thread's last read of its event channel, else the port's interrupt, else the answer before this one: the
   * thread reads no event channel while it serves an ioreq. If one of these was lost, an earlier one is still
   * a bound.
   */
  from = NaN;
  answer = NaN;
  count = 0;
  private readonly log: Iterator<EventColumns>;
  private batch: EventColumns | undefined;
  private row = 0;
  private readonly stampNs: number;
  private readonly dom0Unit: number;
  private readonly pid: number;
  private readAt = NaN;
  /** First interrupt on each port since it was last notified. */
  private readonly firedAt = new Float64Array(PORTS).fill(NaN);

  constructor(log: Iterable<EventColumns>, stampNs: number, dom0Unit: number, pid: number) {
    this.log = log[Symbol.iterator]();
    this.stampNs = stampNs;
    this.dom0Unit = dom0Unit;
    this.pid = pid;
  }

  /** Reads Dom0's `batch` from `row` to behind the next answer: the row to go on from, -1 at the batch's end. */
  next(batch: EventColumns, row: number): number {
    const { kind, pid, ts, arg1, length } = batch;
    for (let i = row; i < length; i++) {
      switch (kind[i]!) {
        case DOM0_EVTCHN_IRQ: {
          const port = arg1[i]!;
          if (port < PORTS && Number.isNaN(this.firedAt[port]!)) this.firedAt[port] = ts[i]! * this.dom0Unit;
          break;
        }
        case DOM0_EVTCHN_READ:
          if (pid[i] === this.pid) this.readAt = ts[i]! * this.dom0Unit;
          break;
        case DOM0_EVTCHN_NOTIFY: {
          const port = arg1[i]!;
          if (pid[i] === this.pid) {
            this.pair(ts[i]! * this.dom0Unit, port);
            return i + 1;
          }
          break;
        }
        default:
      }
    }
    return -1;
  }

  close(): void {
    this.log.return?.();
  }

  private pair(answer: number, port: number): void {
    const fired = port < PORTS ? this.firedAt[port]! : NaN;
    this.from = latest(latest(this.answer, fired), this.readAt);
    this.answer = answer;
    if (port < PORTS) this.firedAt[port] = NaN;
    this.stamp = this.nextStamp();
    this.count++;
  }

  private nextStamp(): number {
    for (;;) {
      const { batch } = this;
      if (batch !== undefined) {
        while (this.row < batch.length) {
          const row = this.row++;
          if (batch.kind[row] === DM_IOREQ) return batch.ts[row]! * this.stampNs;
        }
      }
      const step = this.log.next();
      if (step.done === true) return NaN;
      this.batch = step.value;
      this.row = 0;
    }
  }
}

/** The later of two instants, of which either may not be known. */
function latest(a: number, b: number): number {
  return Number.isNaN(a) || b > a ? b : a;
}

/** FIFO event channels have up to 2^17 ports (xen/include/public/event_channel.h). */
const PORTS = 1 << 17;
