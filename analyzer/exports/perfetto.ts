import type { SpanPlan } from '../../trace/spans.ts';
import { NO_VCPU } from '../../trace/ids.ts';
import { REG_QUEUE_NOTIFY } from '../../trace/virtio-mmio.ts';
import { ProtoWriter } from './protobuf.ts';
import { deviceLabel, keyLabel, spanLabel, type SpanColumns, type SpanRows } from './spans.ts';

/** Fields of Perfetto's trace.proto, trace_packet.proto, track_event.proto and track_descriptor.proto. */
const TRACE = { packet: 1 } as const;
const PACKET = { timestamp: 8, sequence: 10, trackEvent: 11, trackDescriptor: 60 } as const;
const TRACK = { uuid: 1, name: 2 } as const;
const EVENT = { type: 9, trackUuid: 11, name: 23, flowIds: 47 } as const;
const SLICE = { begin: 1, end: 2 } as const;
const SEQUENCE = 1;

/**
 * A Perfetto trace of synthetic track events: a track a vCPU, queue and line (several where spans overlap, because
 * slices of one track must nest), a slice a span, its stages as slices in it. Flows join a QueueNotify to its requests
 * and these to the interrupt that announced them. Timestamps are ns on the trace's axis.
 */
export function perfetto(families: readonly SpanRows[]): Uint8Array {
  const raises = new Raises();
  for (const spans of families) raises.add(spans.plan, spans.columns, spans.rows);
  const out = new PerfettoWriter(raises);
  for (const spans of families) out.add(spans);
  return out.take();
}

/** The same, batch by batch. `raises` are those of all spans, taken before. */
export class PerfettoWriter {
  private readonly tracks = new Tracks();
  private readonly raises: Raises;

  constructor(raises: Raises) {
    this.raises = raises;
  }

  /** What was written since the last call; a trace is the pieces one behind the other. */
  take(): Uint8Array {
    return this.tracks.take();
  }

  add(spans: SpanRows): void {
    const { tracks: out, raises } = this;
    const { plan, columns, rows } = spans;
    const index = (name: string): number => plan.boundaries.findIndex((b) => b.name === name);
    const [notify, raised, raise] = [index('notify'), index('interrupt'), index('raise')];
    const exact = plan.boundaries.map((b, k) => (b.bound === 'exact' ? k : -1)).filter((k) => k >= 0);
    for (const row of rows) {
      const times = exact.map((k) => columns.at[k]![row]!).filter((t) => t >= 0);
      const from = Math.min(...times);
      const to = Math.max(...times);
      if (!(to > from)) continue;
      const device = columns.device[row]!;
      const flows: number[] = [];
      if (plan.family === 'mmio' && columns.key[row] === REG_QUEUE_NOTIFY)
        flows.push(flow(device, columns.start[row]!));
      if (plan.family === 'request') {
        flows.push(flow(device, columns.at[notify]?.[row] ?? NaN));
        flows.push(flow(device, raises.before(device, columns.at[raised]?.[row] ?? NaN), 1));
      }
      if (plan.family === 'interrupt') flows.push(flow(device, columns.at[raise]?.[row] ?? NaN, 1));
      const track = out.track(trackName(spans, row), from, to);
      out.event(track, SLICE.begin, from, spanLabel(spans, row), flows);
      // The chain only: what lies beside it, or has no place, would not nest.
      for (let k = 0; k + 1 < plan.boundaries.length; k++) {
        const stage = plan.stages[k];
        if (stage?.from !== plan.boundaries[k]!.name || stage.to !== plan.boundaries[k + 1]!.name) break;
        const begins = columns.at[k]![row]!;
        const ends = columns.at[k + 1]![row]!;
        if (stage.bound !== 'exact' || !(ends > begins) || begins < from) continue;
        out.event(track, SLICE.begin, begins, stage.title, []);
        out.event(track, SLICE.end, ends, '', []);
      }
      out.event(track, SLICE.end, to, '', []);
    }
  }
}

function trackName(spans: SpanRows, row: number): string {
  const { plan, columns } = spans;
  const vcpu = columns.vcpu[row]!;
  if (plan.family === 'mmio') return vcpu === NO_VCPU ? 'accesses' : `vCPU v${vcpu}`;
  const place = `${deviceLabel(spans, row)} ${keyLabel(spans, row)}`;
  return plan.family === 'request'
    ? place
    : `${place} ${plan.family === 'injection' ? 'vGIC' : 'interrupts'}`;
}

/** An id that both ends make from what they share; 0 = no flow. Rounded ns in 40 bits are 18 minutes apart. */
function flow(device: number, ns: number, kind = 0): number {
  return Number.isNaN(ns) ? 0 : 1 + kind + 2 * ((device & 0xff) + 256 * (Math.round(ns) % 2 ** 40));
}

/** Raises that began an interrupt, by device: a request belongs to the last one at or before its own. */
export class Raises {
  private readonly of = new Map<number, { ns: Float64Array; length: number; sorted: boolean }>();

  /** Takes those of some spans; of families that have none, nothing. */
  add(plan: SpanPlan, columns: SpanColumns, rows: Uint32Array): void {
    if (plan.family !== 'interrupt') return;
    const column = columns.at[plan.boundaries.findIndex((b) => b.name === 'raise')];
    if (column === undefined) return;
    for (const row of rows) {
      const ns = column[row]!;
      if (Number.isNaN(ns)) continue;
      const device = columns.device[row]!;
      let list = this.of.get(device);
      if (list === undefined)
        this.of.set(device, (list = { ns: new Float64Array(256), length: 0, sorted: true }));
      if (list.length === list.ns.length) {
        const larger = new Float64Array(list.length * 2);
        larger.set(list.ns);
        list.ns = larger;
      }
      if (list.length > 0 && ns < list.ns[list.length - 1]!) list.sorted = false;
      list.ns[list.length++] = ns;
    }
  }

  before(device: number, ns: number): number {
    const list = this.of.get(device);
    if (list === undefined) return NaN;
    if (!list.sorted) list.ns.subarray(0, list.length).sort();
    list.sorted = true;
    let lo = 0;
    let hi = list.length;
    while (lo < hi) {
      const middle = (lo + hi) >>> 1;
      if (list.ns[middle]! <= ns) lo = middle + 1;
      else hi = middle;
    }
    return lo === 0 ? NaN : list.ns[lo - 1]!;
  }
}

class Tracks {
  private readonly trace = new ProtoWriter();
  private readonly packet = new ProtoWriter();
  private readonly inner = new ProtoWriter();
  /** Tracks of one name with the end of the last slice in each. */
  private readonly named = new Map<string, { uuid: number; end: number }[]>();
  private uuids = 0;

  take(): Uint8Array {
    const bytes = this.trace.written.slice();
    this.trace.clear();
    return bytes;
  }

  /** A track of that name on which nothing lies between the two instants. Spans come ordered by start. */
  track(name: string, from: number, to: number): number {
    const known = this.named.get(name) ?? [];
    if (known.length === 0) this.named.set(name, known);
    let free = known.find((t) => t.end <= from);
    if (free === undefined) {
      free = { uuid: ++this.uuids, end: 0 };
      known.push(free);
      this.inner.clear();
      this.inner.varint(TRACK.uuid, free.uuid);
      this.inner.text(TRACK.name, known.length === 1 ? name : `${name} (${known.length})`);
      this.packet.clear();
      this.packet.varint(PACKET.sequence, SEQUENCE);
      this.packet.message(PACKET.trackDescriptor, this.inner.written);
      this.trace.message(TRACE.packet, this.packet.written);
    }
    free.end = to;
    return free.uuid;
  }

  event(track: number, type: number, ns: number, name: string, flows: readonly number[]): void {
    this.inner.clear();
    this.inner.varint(EVENT.type, type);
    this.inner.varint(EVENT.trackUuid, track);
    if (name !== '') this.inner.text(EVENT.name, name);
    for (const id of flows) if (id !== 0) this.inner.fixed64(EVENT.flowIds, id);
    this.packet.clear();
    this.packet.varint(PACKET.timestamp, Math.round(ns));
    this.packet.varint(PACKET.sequence, SEQUENCE);
    this.packet.message(PACKET.trackEvent, this.inner.written);
    this.trace.message(TRACE.packet, this.packet.written);
  }
}
