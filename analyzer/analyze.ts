import { DIR_READ, DIR_WRITE } from '../trace/ioreq.ts';
import type { SourceFacts } from '../trace/manifest.ts';
import type { SpanPlan } from '../trace/spans.ts';
import { SPAN_FLAG } from '../trace/spans.ts';
import { REG_QUEUE_NOTIFY } from '../trace/virtio-mmio.ts';
import { chosenLog } from './chosen-log.ts';
import type { Dom0Findings, Dom0Results } from './dom0-side.ts';
import { Dom0Side, SETTLE_NS } from './dom0-side.ts';
import { keptFindings } from './findings.ts';
import { DeviceMap } from './passes/device-map.ts';
import { Dom0Arrivals } from './passes/dom0-arrivals.ts';
import type { Dom0Counts } from './passes/dom0-record.ts';
import type { TapeReader } from './passes/dom0-tape.ts';
import { LocalTape } from './passes/dom0-tape.ts';
import { HypervisorEvents } from './passes/hypervisor-events.ts';
import type { InjectionCounts, InjectionEdges } from './passes/injections.ts';
import { Injections } from './passes/injections.ts';
import type { InterruptCounts, LineCounts } from './passes/interrupts.ts';
import { Interrupts } from './passes/interrupts.ts';
import type { JoinCounts } from './passes/mmio-join.ts';
import { MmioJoin } from './passes/mmio-join.ts';
import type { Hooks } from './passes/plans.ts';
import { injectionPlan, interruptPlan, mmioPlan, requestPlan } from './passes/plans.ts';
import type { DepthFacts } from './passes/queue-depth.ts';
import { RecordingEdges, SEEN } from './passes/recording-edges.ts';
import { RequestSpans } from './passes/request-spans.ts';
import type { KnownQueue, RequestCounts } from './passes/requests.ts';
import type { SpanConsumer } from './passes/span-sink.ts';
import { SpanSink } from './passes/span-sink.ts';
import type { AccessCounts } from './passes/untimed.ts';
import { countUntimed, noAccesses } from './passes/untimed.ts';
import { VcpuStates } from './passes/vcpu-states.ts';
import { WaitSurroundings } from './passes/wait-surroundings.ts';
import type { XenCounts } from './passes/xen-waits.ts';
import { XenWaits } from './passes/xen-waits.ts';
import type { Scouted } from './scout.ts';
import { scout } from './scout.ts';
import { Histogram } from './stats/histogram.ts';
import type { Lane, TimedStream } from './streams.ts';
import { RowsLane, walk } from './streams.ts';
import { hooksOf, kinds, shown } from './trace-hooks.ts';
import type { TraceView } from './view.ts';
import { streamOf, timedStreams } from './view.ts';

/** What the passes counted, beside the spans they gave out. */
export interface PassResults {
  hooks: Hooks;
  scouted: Scouted;
  xen: XenCounts;
  dom0: Dom0Counts;
  join: JoinCounts;
  /** Ioreqs that not every source could hold: they were under way when its records began or ended. */
  recordingEdges: RecordingEdges;
  interrupts: InterruptCounts;
  /** By device. */
  lines: LineCounts[];
  injections: InjectionCounts[];
  /** In the order of `injections`. */
  edges: InjectionEdges[];
  /** Interrupts delivered by the vGIC on device lines; undefined without trace points. */
  delivered: number | undefined;
  /** Unpatched: the most that the trap around a wait can have taken beside the wait, ns; all waits of the domain. */
  outside: Histogram | undefined;
  requests: RequestCounts;
  queues: { queues: KnownQueue[]; sure: boolean };
  depths: DepthFacts[];
  access: AccessCounts;
  /** The sources whose events have a place on the axis. */
  xenSource: SourceFacts | undefined;
  dom0Source: SourceFacts | undefined;
}

export interface PassOptions {
  /** Starts Dom0's side on another thread, where that pays; undefined: it does not. It must be `view`'s own files. */
  dom0Thread?: ((view: TraceView, found: Dom0Findings) => Dom0Source | undefined) | undefined;
}

/** Dom0's side as something that is read; `results` once it has been read to its end. */
export interface Dom0Source {
  tape: TapeReader;
  results: () => Dom0Results;
  closed: () => void;
}

export interface SpanPlans {
  mmio: SpanPlan | undefined;
  interrupt: SpanPlan;
  injection: SpanPlan | undefined;
  request: SpanPlan;
}

/**
 * Runs every pass over a trace, streaming, and hands all spans to `consumers` as they are finished. `begin`
 * is told the plans before the first span, so that consumers can be made for them.
 */
export function runPasses(
  view: TraceView,
  begin: (plans: SpanPlans) => readonly SpanConsumer[],
  options: PassOptions = {},
): PassResults {
  const { manifest } = view;
  const { xen, dom0, xenFacts, dom0Facts } = timedStreams(view);
  const scouted =
    keptFindings(manifest, xen, dom0) ?? scout(manifest, xen, dom0, BigInt(xenFacts?.clock.epoch ?? '0'));
  const hooks = hooksOf(
    xenFacts,
    dom0Facts,
    scouted,
    chosenLog(manifest, dom0Facts, scouted)?.line !== undefined,
  );
  const mmio = mmioPlan(hooks);
  const interrupt = interruptPlan(hooks);
  const injection = hooks.tracePoints ? injectionPlan(hooks) : undefined;
  const request = requestPlan(hooks);
  const consumers = begin({ mmio, interrupt, injection, request });

  const devices = new DeviceMap(manifest.devices);
  const losses = [scouted.xenLosses, scouted.dom0Losses];
  const access = noAccesses();
  const requests = new RequestSpans(new SpanSink(request, consumers), losses);
  const injectionSink = injection === undefined ? undefined : new SpanSink(injection, consumers);
  const states = hooks.tracePoints && hooks.runstates ? new VcpuStates(scouted.vcpus) : undefined;
  const injections =
    injectionSink === undefined || scouted.domid === undefined
      ? undefined
      : new Injections(devices, injectionSink, scouted.xenLosses, states);
  const xenCovers = covered(xen, xenFacts);
  const dom0Covers = covered(dom0, dom0Facts);
  const recordingEdges = new RecordingEdges(scouted.vcpus, shown(hooks));
  const interruptSink = new SpanSink(interrupt, consumers);
  const interrupts = new Interrupts({
    sink: interruptSink,
    marks: interrupt.marks,
    devices,
    losses,
    injections,
    clockError: manifest.clock?.maxErrorNs ?? 0,
    xenCovers,
  });

  const waits = new XenWaits(scouted.vcpus, hooks.tracePoints, states);
  const outside = hooks.runstates && !hooks.tracePoints ? new Histogram() : undefined;
  const surroundings =
    outside === undefined
      ? undefined
      : new WaitSurroundings(scouted.vcpus, (_v, notBefore, offline, running, notAfter) => {
          const most = offline - notBefore + (notAfter - running);
          if (!Number.isNaN(most)) outside.record(most);
        });
  const hypervisor = new HypervisorEvents(
    scouted.domid ?? -1,
    scouted.vcpus,
    waits,
    states,
    injections,
    surroundings,
  );
  const countContent: SpanConsumer = (_plan, batch) => {
    for (let i = 0; i < batch.length; i++) countAccess(access, batch.flags[i]!, batch.dir[i]!);
  };
  const mmioSink = mmio === undefined ? undefined : new SpanSink(mmio, [...consumers, countContent]);
  const join =
    mmio === undefined || mmioSink === undefined
      ? undefined
      : new MmioJoin({
          sink: mmioSink,
          marks: mmio.marks,
          devices,
          losses,
          hasXen: xen !== undefined && (hooks.runstates || hooks.tracePoints),
          hasDom0: dom0 !== undefined && hooks.notify,
          xenCovers,
          dom0Covers,
          edges: recordingEdges,
          tolerance: (manifest.clock?.maxErrorNs ?? 0) + DESCHEDULE_SLACK_NS,
          listener: {
            access(device, register, dir, value, guest, seen, seq, vcpu, preempted) {
              interrupts.access(device, register, dir, value, guest, seen, vcpu, preempted);
              if (register === REG_QUEUE_NOTIFY && dir === DIR_WRITE) {
                access.notifies++;
                if (seq >= 0) requests.notifyTimed(seq, guest);
              }
            },
          },
        });
  const source = dom0Source(view, scouted, options.dom0Thread);
  const arrivals = new Dom0Arrivals({ ...source, vcpus: scouted.vcpus, interrupts, requests });
  const lanes: Lane[] = [arrivals];
  if (xen !== undefined) {
    lanes.unshift(
      new RowsLane(xen, (batch, line, from, to) => {
        hypervisor.rows(batch, line, from, to);
      }),
    );
  }
  const open = new Uint8Array(scouted.vcpus);
  walk(lanes, (watermark) => {
    if (watermark === Infinity) {
      arrivals.until(Infinity);
      for (let v = 0; v < scouted.vcpus; v++)
        open[v] = waits.openSeen(v) | (arrivals.irqOpen[v] === 1 ? SEEN.IRQ : 0);
      waits.finish();
    }
    for (let v = 0; v < scouted.vcpus; v++) {
      join?.drain(
        v,
        waits.queues[v]!,
        arrivals.queues[v]!,
        watermark - SETTLE_NS,
        // Behind a side's last record nothing ends what is open there: the other side would be held for ever.
        watermark > xenCovers[1] ? NaN : waits.openSince(v),
        watermark > dom0Covers[1] ? NaN : arrivals.kernelOpen[v]!,
      );
    }
    interrupts.settle();
    requests.giveOut();
  });
  const dom0Results = source.results();
  for (let v = 0; v < scouted.vcpus; v++) recordingEdges.finish(v, open[v]!, waits.begunBefore[v] === 1);
  injections?.finish();
  interrupts.finish();
  mmioSink?.flush();
  injectionSink?.flush();
  interruptSink.flush();
  requests.flush();
  return {
    hooks,
    scouted,
    xen: waits.counts,
    dom0: dom0Results.ioreqs,
    recordingEdges,
    join: join?.counts ?? { joined: 0, xenOnly: 0, dom0Only: 0, early: 0 },
    interrupts: interrupts.counts,
    lines: interrupts.lines,
    injections: injections?.counts ?? [],
    edges: injections?.edges ?? [],
    delivered: injections?.delivered,
    outside,
    requests: dom0Results.requests,
    queues: dom0Results.queues,
    depths: dom0Results.depths,
    access: untimedAccesses(view, access, devices, [xenFacts?.id, dom0Facts?.id]),
    xenSource: xenFacts,
    dom0Source: dom0Facts,
  };
}

/** Dom0's side on a thread of its own, or read in step with the rest. */
function dom0Source(view: TraceView, scouted: Scouted, thread: PassOptions['dom0Thread']): Dom0Source {
  const threaded = thread?.(view, scouted);
  if (threaded !== undefined) return threaded;
  const tape: LocalTape = new LocalTape(() => side.step());
  const side = new Dom0Side(view, scouted, tape);
  return {
    tape,
    results: () => side.results(),
    closed: () => {
      side.close();
    },
  };
}

/** Xen marks a vCPU descheduled after the event was sent: Dom0 may have seen it that much earlier. */
export const DESCHEDULE_SLACK_NS = 50_000;

/** Where no timed source shows the content of a single access: what the largest untimed one holds. */
function untimedAccesses(
  view: TraceView,
  timed: AccessCounts,
  devices: DeviceMap,
  used: readonly (string | undefined)[],
): AccessCounts {
  if (timed.reads + timed.writes + timed.invalidates > 0) return timed;
  const size = (s: SourceFacts): number =>
    kinds(s, 'dm.ioreq') + kinds(s, 'rec.read') + kinds(s, 'rec.write');
  const sources = view.manifest.sources.filter((s) => !used.includes(s.id) && size(s) > 0);
  const [largest] = sources.sort((a, b) => size(b) - size(a));
  if (largest === undefined) return timed;
  return countUntimed(streamOf(view, largest.id), devices);
}

/** First and last instant that a stream's records tell of, axis ns; an empty stretch without one. */
function covered(stream: TimedStream | undefined, facts: SourceFacts | undefined): readonly [number, number] {
  if (stream === undefined || facts === undefined) return [Infinity, -Infinity];
  const { scale, shift } = stream.line;
  return [facts.firstTs * scale + shift, facts.lastTs * scale + shift];
}

function countAccess(access: AccessCounts, flags: number, dir: number): void {
  if ((flags & SPAN_FLAG.INVALIDATE) !== 0) access.invalidates++;
  else if (dir === DIR_READ) access.reads++;
  else if (dir === DIR_WRITE) access.writes++;
  else access.unknown++;
}
