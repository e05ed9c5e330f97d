import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { TraceError } from '../../trace/errors.ts';
import { howItEnded } from '../../trace/recording-facts.ts';
import type { EndReason, TracePoints } from '../../trace/recording-facts.ts';
import type { DeviceModelView } from '../probes/host-view.ts';
import type { RecordPlan } from '../probes/plan.ts';
import type { HostProcess, HostTransport } from '../transports/transport.ts';
import { agentScript } from './agent.ts';
import type { AgentEvents, BufferStats } from './agent-frames.ts';
import { AgentFrames } from './agent-frames.ts';
import { QemuEvents } from './qemu-events.ts';
import type { RecordSink } from './sink.ts';
import { XentraceStream } from './xentrace-stream.ts';

/** How long the host gets to undo everything before the connection is cut. */
const UNDO_MS = 30_000;

/** What is going on, for the live line: plain numbers, read whenever it is drawn. */
export interface SessionStatus {
  /** Seconds since recording began, by the host's clock. */
  elapsed: number;
  /** By CPU of Dom0. */
  readonly buffers: Map<number, BufferStats>;
  bufferKib: number;
  rounds: number;
  /** Highest share of a ring buffer that was ever found filled, 0 to 1. */
  fullest: number;
  rawBytes: number;
  /** Which trace points Xen has, as soon as that is known. */
  tracePoints?: TracePoints;
}

/** What the recording found out of Xen, for the trace. */
export interface XenFindings {
  tracePoints?: TracePoints;
  dom0Offset?: string;
}

export interface SessionEnd {
  reason: EndReason;
  detail?: string;
}

/**
 * One recording on a host, from the first change to the last undone. `run` resolves once the host is as it was
 * (or cannot be reached any more); it rejects with a TraceError only if recording never began.
 */
export class RecordSession {
  readonly status: SessionStatus = {
    elapsed: 0,
    buffers: new Map(),
    bufferKib: 0,
    rounds: 0,
    fullest: 0,
    rawBytes: 0,
  };
  private readonly host: HostTransport;
  private readonly plan: RecordPlan;
  private readonly sink: RecordSink;
  private readonly marker = `end-${randomBytes(12).toString('hex')}`;
  private began = NaN;
  private end: SessionEnd | undefined;
  private lastWord: string | undefined;
  private readonly warned = new Set<string>();
  private tellEnd: () => void = () => undefined;
  private readonly ending = new Promise<void>((resolve) => {
    this.tellEnd = resolve;
  });
  private agent: HostProcess | undefined;
  private identity = '';
  private tellReady: () => void = () => undefined;
  private readonly ready = new Promise<void>((resolve) => {
    this.tellReady = resolve;
  });
  /** Xen's own records, if they are wanted and can be had. */
  private xen: XentraceStream | undefined;
  private readonly qemu: QemuEvents[] = [];
  private readonly deviceModels: readonly DeviceModelView[];

  constructor(
    host: HostTransport,
    plan: RecordPlan,
    deviceModels: readonly DeviceModelView[],
    sink: RecordSink,
  ) {
    this.host = host;
    this.deviceModels = deviceModels;
    this.plan = plan;
    this.sink = sink;
    this.status.bufferKib = plan.bufferKib;
  }

  /** By now; complete when `run` has ended. */
  get xenFindings(): XenFindings {
    const tracePoints = this.xen?.tracePoints();
    const dom0Offset = this.xen?.points.dom0Offset;
    return {
      ...(tracePoints === undefined ? {} : { tracePoints }),
      ...(dom0Offset === undefined ? {} : { dom0Offset: dom0Offset.toString() }),
    };
  }

  /** Asks the recording to end; the first reason stays. */
  stop(reason: EndReason, detail?: string): void {
    this.end ??= { reason, ...(detail === undefined ? {} : { detail }) };
    this.tellEnd();
  }

  /** Asks for an instant at which all CPUs' buffers are empty; the sink is told (RecordSink.cut). */
  cut(): void {
    this.agent?.stdin.write('cut\n');
  }

  async run(durationMs: number | undefined): Promise<SessionEnd> {
    const agent = await this.host.stream(agentScript(this.plan, this.marker));
    this.agent = agent;
    const ended = this.consume(agent);
    void this.host.lost.then((why) => {
      this.stop('connection', why);
    });
    await Promise.race([this.ready, ended, this.ending]);
    const refused = await this.whyNotBegun(agent);
    if (refused !== undefined) {
      await this.finish(agent, ended);
      throw refused;
    }
    await this.startXen();
    await this.startQemu();
    agent.stdin.write('go\n');
    const clock = new AbortController();
    const timer = durationMs === undefined ? undefined : this.timer(durationMs, clock.signal);
    await Promise.race([this.ending, ended]);
    clock.abort();
    await timer;
    if (this.end === undefined) {
      const { lost } = await agent.ended;
      this.stop(lost ? 'connection' : 'host', await this.whyNot(agent));
    }
    await this.finish(agent, ended);
    return this.end ?? { reason: 'host' };
  }

  /** Before it begins: why it will not. */
  private async whyNotBegun(agent: HostProcess): Promise<TraceError | undefined> {
    const { end, lastWord } = this;
    const source = this.host.name;
    if (lastWord !== undefined) return new TraceError('E_HOST', lastWord, { source });
    if (end !== undefined) {
      const why = end.reason === 'connection' ? 'E_HOST' : 'E_NO_DATA';
      return new TraceError(why, `nothing was recorded: ${howItEnded({ ...end, state: end.reason })}`, {
        source,
      });
    }
    if (this.identity !== '') return undefined;
    return new TraceError('E_HOST', `recording did not start: ${await this.whyNot(agent)}`, { source });
  }

  private async timer(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await sleep(ms, undefined, { signal });
      this.stop('duration');
    } catch {
      // Ended before the time was over.
    }
  }

  private async startXen(): Promise<void> {
    const { xentrace } = this.plan;
    if (xentrace === undefined) return;
    const xen = new XentraceStream(this.host, xentrace, this.identity, this.sink);
    const why = await xen.start();
    if (why === undefined) {
      this.xen = xen;
      void xen.ended.then((reason) => {
        if (reason !== undefined && this.end === undefined) this.warn(`xentrace ended: ${reason}`);
      });
    } else this.warn(`no records of Xen's scheduler: ${why}`);
  }

  private async startQemu(): Promise<void> {
    if (!this.plan.hooks.includes('qemu')) return;
    for (const model of this.deviceModels) {
      if (model.kind !== 'qemu') continue;
      const events = await QemuEvents.start(this.host, model, this.identity, this.sink);
      if (typeof events === 'string') this.warn(`no trace of QEMU's own: ${events}`);
      else this.qemu.push(events);
    }
  }

  /** Ends both streams and waits until the host has undone everything. */
  private async finish(agent: HostProcess, ended: Promise<void>): Promise<void> {
    const others = this.qemu.map((events) => events.stop());
    if (this.xen !== undefined) others.push(this.xen.stop());
    agent.stdin.end();
    const late = new AbortController();
    await Promise.race([ended, sleep(UNDO_MS, undefined, { signal: late.signal }).catch(() => undefined)]);
    late.abort();
    agent.kill();
    await Promise.all(others);
  }

  private async whyNot(agent: HostProcess): Promise<string> {
    await agent.ended;
    const text = agent.stderrTail().trim();
    return text === '' ? 'the shell on the host ended without a word' : text.split('\n').slice(-1)[0]!;
  }

  private async consume(agent: HostProcess): Promise<void> {
    const frames = new AgentFrames(this.events(), this.plan.pageBytes, this.marker);
    try {
      for await (const chunk of agent.stdout) {
        frames.push(chunk as Buffer);
        this.status.rawBytes = this.sink.rawBytes;
      }
    } catch (error) {
      this.failed(error);
      // What else it says is not wanted; but it must be able to say it, or it would never undo.
      agent.stdout.resume();
      agent.stdin.end();
    }
    await agent.ended;
    if (frames.unfinished > 0) this.warn('the last pages of a ring buffer did not arrive whole');
  }

  private failed(error: unknown): void {
    if (error instanceof TraceError && error.code === 'E_WRITE') {
      const full = /ENOSPC|EDQUOT/.test(error.message);
      this.stop(full ? 'disk' : 'host', error.message);
    } else this.stop('host', error instanceof Error ? error.message : String(error));
  }

  private warn(text: string): void {
    if (this.warned.has(text)) return;
    this.warned.add(text);
    this.sink.warning(text);
  }

  private events(): AgentEvents {
    const { status, sink } = this;
    return {
      identity: (id) => {
        this.identity = id;
      },
      ready: () => {
        this.tellReady();
      },
      began: (uptime) => {
        this.began = uptime;
        sink.began?.();
      },
      halted: (uptime) => {
        if (!Number.isNaN(this.began)) status.elapsed = uptime - this.began;
      },
      round: (number, uptime) => {
        status.rounds = number;
        status.elapsed = uptime - this.began;
        // What Xen says when tracing begins has come after two walks over its buffers, ten times a second.
        const points = this.xen?.points.seen ?? (number > 2 ? this.xen?.tracePoints() : undefined);
        if (points !== undefined) status.tracePoints = points;
        sink.round(number, uptime);
        if (sink.nearlyFull) this.stop('disk', 'what is left is needed to seal the trace');
      },
      stats: (cpu, stats) => {
        status.buffers.set(cpu, stats);
        status.fullest = Math.max(status.fullest, stats.bytes / (status.bufferKib * 1024));
      },
      pages: (cpu, bytes) => {
        sink.pages(cpu, bytes);
      },
      buffer: (kib) => {
        status.bufferKib = kib;
      },
      text: (name, text) => {
        sink.text(name, text);
      },
      cut: () => {
        sink.cut?.();
      },
      processGone: (pid) => {
        this.stop('deviceModel', `process ${pid} ended`);
      },
      domainGone: () => {
        this.stop('domain');
      },
      warning: (text) => {
        this.warn(text);
      },
      end: (reason) => {
        if (reason === 'done') return;
        this.lastWord = reason;
        this.stop('host', reason);
      },
    };
  }
}
