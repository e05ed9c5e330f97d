import { timeAt } from '../../trace/column-stream.ts';
import type { EventColumns } from '../../trace/columns.ts';
import { K, kindName, RUNSTATE } from '../../trace/events.ts';
import type { DeviceFacts } from '../../trace/manifest.ts';
import { DIR_UNKNOWN, NO_DEVICE, NO_KEY } from '../../trace/spans.ts';
import { registerName } from '../../trace/virtio-mmio.ts';
import type { PassResults } from '../analyze.ts';
import type { SpanRecord, Slowest } from '../stats/slowest.ts';
import type { TimedStream } from '../streams.ts';
import { RowsLane, firstRowFrom, walk } from '../streams.ts';
import type { TraceView } from '../view.ts';
import { timedStreams } from '../view.ts';
import type { SlowSpan } from './document.ts';

// Module constants: a loop over events must not look a property up for every row.
const {
  ARM_IOREQ_SEND,
  ARM_S2_ABORT,
  ARM_VIRQ_ACTIVE,
  ARM_VIRQ_INJECT,
  ARM_VIRQ_LR,
  ARM_VIRQ_MERGED,
  ARM_VIRQ_RETIRED,
  DM_IOREQ,
  DM_IOREQ_READ_DONE,
  DOM0_EVTCHN_IRQ,
  DOM0_EVTCHN_NOTIFY,
  DOM0_IOEVENTFD,
  DOM0_IRQFD,
  DOM0_EVTCHN_WRITE,
  DOM0_IOREQ_ANSWERED,
  DOM0_IOREQ_DELIVERED,
  DOM0_IRQ_ENTRY,
  DOM0_IRQ_EXIT,
  DOM0_SCHED_SWITCH,
  DOM0_SET_IRQ_LEVEL,
  DOM0_SYS_ENTER,
  DOM0_SYS_EXIT,
  XEN_OTHER,
  XEN_RUNSTATE,
} = K;

/** Events listed a span; what is beyond is said, not shown. */
const MAX_EVENTS = 64;

/** What of a Slowest is asked for here: the database gives such a list too. */
export type SlowList = Pick<Slowest, 'plan' | 'list'>;

/** The slowest spans with their instants; `attachEvents` adds the events while they were open. */
export function describeSlow(slowest: SlowList | undefined, devices: readonly DeviceFacts[]): SlowSpan[] {
  if (slowest === undefined) return [];
  const { plan } = slowest;
  return slowest.list.map((s) => ({
    start_ns: s.start,
    total_ns: s.total,
    device: s.device === NO_DEVICE ? null : (devices[s.device]?.name ?? null),
    register: plan.family === 'mmio' && s.key !== NO_KEY ? registerName(s.key) : null,
    queue: plan.family === 'request' ? s.key : null,
    spi: plan.family === 'interrupt' ? s.key : null,
    direction: s.dir === DIR_UNKNOWN ? null : directionOf(plan.family, s),
    vcpu: s.vcpu === 0xffff ? null : s.vcpu,
    amount: s.amount,
    boundaries: plan.boundaries.map((b, k) => ({ name: b.name, clock: b.clock, at_ns: known(s.at[k]!) })),
    stages: plan.stages.map(({ name, inTotal }, k) => ({ name, in_total: inTotal, ns: known(s.stages[k]!) })),
    events: [],
    events_cut: false,
  }));
}

/**
 * Adds to each span the events of its domain's vCPU and of the device model's threads while it was open. One
 * more walk over the trace, for all spans at once.
 */
export function attachEvents(view: TraceView, results: PassResults, spans: readonly SlowSpan[]): void {
  if (spans.length === 0) return;
  const { xen, dom0 } = timedStreams(view);
  const pids = new Set(results.scouted.pids);
  const lane = (stream: TimedStream): RowsLane => {
    const isXen = stream === xen;
    return new RowsLane(near(stream, spans), (batch, line, from, to) => {
      const { ts } = batch;
      const { scale, shift } = line;
      const last = ts[to - 1]! * scale + shift;
      for (const span of spans) {
        const end = span.start_ns + span.total_ns;
        if (span.start_ns > last || end < ts[from]! * scale + shift) continue;
        for (let i = firstRowFrom(ts, line, from, to, span.start_ns); i < to; i++) {
          const at = ts[i]! * scale + shift;
          if (at > end) break;
          if (isXen ? !ofDomain(batch, i, results, span) : !ofDeviceModel(batch, i, results, pids)) continue;
          if (span.events.length >= MAX_EVENTS) {
            span.events_cut = true;
            break;
          }
          const event = kindName(batch.kind[i]!);
          span.events.push({
            at_ns: at,
            source: stream.id,
            cpu: batch.cpu[i]!,
            event,
            detail: detailOf(batch, i),
          });
        }
      }
    });
  };
  walk([xen, dom0].filter((s) => s !== undefined).map(lane), () => undefined);
  for (const span of spans) span.events.sort((a, b) => a.at_ns - b.at_ns);
}

/** Only the batches of a stream in which a span was open. */
function near(stream: TimedStream, spans: readonly SlowSpan[]): TimedStream {
  const { scale, shift } = stream.line;
  return {
    ...stream,
    *batches() {
      for (const batch of stream.batches()) {
        if (batch.length === 0) continue;
        const first = timeAt(batch, 0) * scale + shift;
        const last = timeAt(batch, batch.length - 1) * scale + shift;
        if (touchesAny(spans, first, last)) yield batch;
      }
    },
  };
}

function touchesAny(spans: readonly SlowSpan[], first: number, last: number): boolean {
  return spans.some((s) => s.start_ns <= last && s.start_ns + s.total_ns >= first);
}

function ofDomain(batch: EventColumns, i: number, { scouted }: PassResults, span: SlowSpan): boolean {
  if (batch.domid[i] !== scouted.domid || batch.kind[i] === XEN_OTHER) return false;
  return span.vcpu === null || batch.vcpu[i] === span.vcpu;
}

function ofDeviceModel(
  batch: EventColumns,
  i: number,
  results: PassResults,
  pids: ReadonlySet<number>,
): boolean {
  return (pids.has(batch.pid[i]!) || isIoreqIrq(batch, i, results)) && batch.kind[i] !== XEN_OTHER;
}

function isIoreqIrq(batch: EventColumns, i: number, results: PassResults): boolean {
  const k = batch.kind[i];
  return (k === DOM0_EVTCHN_IRQ || k === DOM0_IOEVENTFD) && results.scouted.vcpuOfPort.has(batch.arg1[i]!);
}

const STATES = ['running', 'runnable', 'blocked', 'offline'];

/** What of an event's columns tells the reader something, in few words. */
function detailOf(batch: EventColumns, i: number): string {
  const a0 = batch.arg0[i]!;
  const a1 = batch.arg1[i]!;
  const addr = (batch.addr[2 * i + 1]! * 2 ** 32 + batch.addr[2 * i]!).toString(16);
  switch (batch.kind[i]) {
    case XEN_RUNSTATE:
      return `${STATES[a0] ?? a0}→${STATES[a1] ?? a1}${a1 === RUNSTATE.OFFLINE ? ' (waits for the answer)' : ''}`;
    case ARM_S2_ABORT:
    case ARM_IOREQ_SEND:
    case DM_IOREQ:
    case DM_IOREQ_READ_DONE:
    case DOM0_IOEVENTFD:
    case DOM0_IOREQ_ANSWERED:
    case DOM0_IOREQ_DELIVERED:
      return `gpa 0x${addr}`;
    case DOM0_EVTCHN_IRQ:
    case DOM0_EVTCHN_NOTIFY:
    case DOM0_EVTCHN_WRITE:
      return `port ${a1}`;
    case DOM0_IRQFD:
    case DOM0_SET_IRQ_LEVEL:
      return `SPI ${a0} level ${a1}`;
    case DOM0_IRQ_ENTRY:
    case DOM0_IRQ_EXIT:
      return `irq ${a0}`;
    case DOM0_SYS_ENTER:
    case DOM0_SYS_EXIT:
      return `syscall ${a0}`;
    case DOM0_SCHED_SWITCH:
      return `pid ${batch.pid[i]!} → ${a0}`;
    case ARM_VIRQ_INJECT:
    case ARM_VIRQ_LR:
    case ARM_VIRQ_ACTIVE:
    case ARM_VIRQ_MERGED:
    case ARM_VIRQ_RETIRED:
      return `virq ${a0}`;
    default:
      return '';
  }
}

function directionOf(family: string, s: SpanRecord): string {
  if (family === 'request') return s.dir === 1 ? 'in' : 'out';
  return s.dir === 1 ? 'read' : 'write';
}

function known(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}
