import type { AxisLine } from '../trace/axis.ts';
import { traceAxis } from '../trace/axis.ts';
import { TWO_32 } from '../trace/columns.ts';
import { DIR_READ, DIR_WRITE } from '../trace/ioreq.ts';
import type { Manifest, SourceFacts } from '../trace/manifest.ts';
import type { SpanPlan } from '../trace/spans.ts';
import { NO_DEVICE, SPAN_FLAG } from '../trace/spans.ts';
import { REG_INTERRUPT_STATUS, REG_QUEUE_NOTIFY } from '../trace/virtio-mmio.ts';
import { keptFindings } from './findings.ts';
import { DeviceMap } from './passes/device-map.ts';
import { DeviceModelEvents } from './passes/device-model-events.ts';
import { Dom0Ioreqs } from './passes/dom0-ioreqs.ts';
import type { Dom0Counts, Wanted } from './passes/dom0-record.ts';
import { D } from './passes/dom0-record.ts';
import { HypervisorEvents } from './passes/hypervisor-events.ts';
import type { InjectionCounts, InjectionEdges } from './passes/injections.ts';
import { Injections } from './passes/injections.ts';
import type { InterruptCounts, LineCounts } from './passes/interrupts.ts';
import { Interrupts } from './passes/interrupts.ts';
import { LogContents } from './passes/log-contents.ts';
import type { JoinCounts } from './passes/mmio-join.ts';
import { MmioJoin } from './passes/mmio-join.ts';
import type { Hooks } from './passes/plans.ts';
import { injectionPlan, interruptPlan, mmioPlan, requestPlan } from './passes/plans.ts';
import type { DepthFacts } from './passes/queue-depth.ts';
import type { KnownQueue, RequestCounts } from './passes/requests.ts';
import { RecordingEdges, SEEN } from './passes/recording-edges.ts';
import { Requests } from './passes/requests.ts';
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
import type { TimedStream } from './streams.ts';
import { walk } from './streams.ts';
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
): PassResults {
  const { manifest } = view;
  const { xen, dom0, xenFacts, dom0Facts } = timedStreams(view);
  const scouted =
    keptFindings(manifest, xen, dom0) ?? scout(manifest, xen, dom0, BigInt(xenFacts?.clock.epoch ?? '0'));
  const log = logContents(view, dom0Facts, scouted);
  const hooks = hooksOf(xenFacts, dom0Facts, scouted, log?.timed === true);
  const mmio = mmioPlan(hooks);
  const interrupt = interruptPlan(hooks);
  const injection = hooks.tracePoints ? injectionPlan(hooks) : undefined;
  const request = requestPlan(hooks);
  const consumers = begin({ mmio, interrupt, injection, request });

  const devices = new DeviceMap(manifest.devices);
  const losses = [scouted.xenLosses, scouted.dom0Losses];
  const access = noAccesses();
  const requests = new Requests(new SpanSink(request, consumers), devices, losses, {
    pop: kinds(dom0Facts, 'dm.virtqueue_pop') > 0,
    flush: kinds(dom0Facts, 'dm.virtqueue_flush') > 0 && kinds(dom0Facts, 'dm.virtqueue_fill') > 0,
    notify: kinds(dom0Facts, 'dm.virtio_notify') > 0,
  });
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
  const ioreqs = new Dom0Ioreqs(
    scouted.vcpus,
    scouted,
    (_v, record, at) => {
      const address = record[at + D.ADDR_LO]! + record[at + D.ADDR_HI]! * TWO_32;
      const device = devices.find(address);
      if (device === NO_DEVICE) return;
      const register = address - devices.devices[device]!.base;
      if (register === REG_QUEUE_NOTIFY) {
        requests.notified(record[at + D.SEQ]!, device, record[at + D.DATA_LO]! & 0xffff);
      } else if (register === REG_INTERRUPT_STATUS) requests.handlerRuns(device);
    },
    log,
    wantedDevices(manifest, devices),
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
  const deviceModel = new DeviceModelEvents(
    scouted.domid,
    devices,
    ioreqs,
    interrupts,
    requests,
    !hooks.raise,
  );

  const open = new Uint8Array(scouted.vcpus);
  const streams = [xen, dom0].filter((s): s is TimedStream => s !== undefined);
  walk(
    streams,
    (n, batch, line, from, to) => {
      if (streams[n] === xen) hypervisor.rows(batch, line, from, to);
      else deviceModel.rows(batch, line, from, to);
    },
    (watermark) => {
      if (watermark === Infinity) {
        for (let v = 0; v < scouted.vcpus; v++)
          open[v] = waits.openSeen(v) | (ioreqs.isOpen(v) ? SEEN.IRQ : 0);
        waits.finish();
        ioreqs.finish();
      } else ioreqs.settle(watermark - SETTLE_NS);
      for (let v = 0; v < scouted.vcpus; v++) {
        join?.drain(
          v,
          waits.queues[v]!,
          ioreqs.queues[v]!,
          watermark - SETTLE_NS,
          // Behind a side's last record nothing ends what is open there: the other side would be held for ever.
          watermark > xenCovers[1] ? NaN : waits.openSince(v),
          watermark > dom0Covers[1] ? NaN : ioreqs.kernelOpenSince(v),
        );
      }
      interrupts.settle();
      requests.drain(watermark - REQUEST_LAG_NS);
    },
  );
  for (let v = 0; v < scouted.vcpus; v++) recordingEdges.finish(v, open[v]!, waits.begunBefore[v] === 1);
  log?.close();
  injections?.finish();
  interrupts.finish();
  requests.finish();
  mmioSink?.flush();
  injectionSink?.flush();
  interruptSink.flush();
  requests.flush();
  return {
    hooks,
    scouted,
    xen: waits.counts,
    dom0: ioreqs.counts,
    recordingEdges,
    join: join?.counts ?? { joined: 0, xenOnly: 0, dom0Only: 0, early: 0 },
    interrupts: interrupts.counts,
    lines: interrupts.lines,
    injections: injections?.counts ?? [],
    edges: injections?.edges ?? [],
    delivered: injections?.delivered,
    outside,
    requests: requests.counts,
    queues: requests.knownQueues(),
    depths: requests.depths.list,
    access: untimedAccesses(view, access, devices, [xenFacts?.id, dom0Facts?.id]),
    xenSource: xenFacts,
    dom0Source: dom0Facts,
  };
}

/** Xen marks a vCPU descheduled after the event was sent: Dom0 may have seen it that much earlier. */
export const DESCHEDULE_SLACK_NS = 50_000;
/** An ioreq's fetched content stands at most this far behind its NOTIFY in the ring buffer. */
export const SETTLE_NS = 2e6;
/** Requests are written out this far behind the watermark: by then their notifies are joined. */
const REQUEST_LAG_NS = 40e6;

/** Of a recording of some devices: which addresses are theirs. undefined: all are, or the trace does not know them. */
export function wantedDevices({ recording }: Manifest, map: DeviceMap): Wanted | undefined {
  const names = recording?.only ?? [];
  const wanted = Uint8Array.from(map.devices, ({ name }) => (names.includes(name) ? 1 : 0));
  if (names.length === 0 || wanted.filter((yes) => yes === 1).length !== new Set(names).size)
    return undefined;
  return (lo, hi) => {
    const device = map.find(lo + hi * TWO_32);
    return device !== NO_DEVICE && wanted[device] === 1;
  };
}

/** Contents of ioreqs (or their times) from a device model's log, where Dom0's events hold none and `chosenLog` has one. */
export function logContents(
  view: TraceView,
  dom0: SourceFacts | undefined,
  scouted: Scouted,
): LogContents | undefined {
  const chosen = chosenLog(view.manifest, dom0, scouted);
  if (chosen === undefined) return undefined;
  return new LogContents(streamOf(view, chosen.log.id), chosen.line, chosen.timesOnly);
}

/**
 * The device model's log, if Dom0's events hold no contents of ioreqs (or no time of their service, and the log
 * has it) and the log has as many ioreqs as one thread answered. `line`: undefined if it has no place on the axis.
 */
export function chosenLog(
  manifest: Manifest,
  dom0: SourceFacts | undefined,
  scouted: Pick<Scouted, 'pids' | 'answers'>,
): { log: SourceFacts; line: AxisLine | undefined; timesOnly: boolean } | undefined {
  if (scouted.pids.length !== 1 || scouted.answers === 0 || kinds(dom0, 'dm.ioreq') > 0) return undefined;
  const { sources, logClock } = manifest;
  const logs = sources.filter((s) => s.id !== dom0?.id && kinds(s, 'dm.ioreq') === scouted.answers);
  const log = logs.find((s) => s.id === logClock?.log) ?? logs[0];
  if (log === undefined) return undefined;
  const line = traceAxis(manifest).line(log.id);
  const timesOnly = kinds(dom0, 'dom0.ioreq_answered') > 0;
  // A stamped log that found no place has a clock that jumped: its rows, sorted by stamp, may not be in order.
  if (line === undefined && (timesOnly || log.clock.unit !== 'none')) return undefined;
  return { log, line, timesOnly };
}

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

/** What of an ioreq the sources of a trace can show. */
function shown({ tracePoints, runstates, evtchnIrq, notify }: Hooks): number {
  const hypervisor = tracePoints ? SEEN.SEND | SEEN.DONE : runstates ? SEEN.OFFLINE : 0;
  return hypervisor | (evtchnIrq ? SEEN.IRQ : 0) | (notify ? SEEN.ANSWER : 0);
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

function kinds(facts: SourceFacts | undefined, name: string): number {
  return facts?.kinds[name] ?? 0;
}

function hooksOf(
  xen: SourceFacts | undefined,
  dom0: SourceFacts | undefined,
  scouted: Scouted,
  timedLog: boolean,
): Hooks {
  return {
    tracePoints: kinds(xen, 'arm.ioreq_send') > 0,
    runstates: kinds(xen, 'xen.runstate') > 0 && scouted.domid !== undefined,
    // The kernel's own handler runs in the same hard irq.
    evtchnIrq: kinds(dom0, 'dom0.evtchn_irq') + kinds(dom0, 'dom0.ioeventfd') > 0,
    evtchnRead: kinds(dom0, 'dom0.evtchn_read') > 0,
    service: kinds(dom0, 'dm.ioreq') > 0 ? 'dom0' : timedLog ? 'dm' : undefined,
    notify:
      kinds(dom0, 'dom0.evtchn_notify') + kinds(dom0, 'dom0.ioeventfd_ret') > 0 &&
      scouted.vcpuOfPort.size > 0,
    raise: kinds(dom0, 'dom0.set_irq_level') > 0,
    requests: kinds(dom0, 'dm.virtqueue_pop') + kinds(dom0, 'dm.blk_read') + kinds(dom0, 'dm.blk_write') > 0,
  };
}
