import { LiveStats } from '../../collector/record/live/live-stats.ts';
import { MEASURE } from '../../collector/record/live/latency.ts';
import type { LiveWatch } from '../../collector/record/live/watch.ts';
import type { HostView } from '../../collector/probes/host-view.ts';
import type { SessionStatus } from '../../collector/record/session.ts';
import { bytes, count, duration } from './units.ts';

const EVERY_MS = 1000;

/**
 * The line that `trace record` draws over while it records: how long, how much, how fast, the latencies so far, what
 * was lost and how full the buffers are. Only on a terminal; elsewhere nothing is decoded and nothing written.
 */
export class LiveLine {
  /** Takes the latencies; undefined where nothing is drawn. */
  readonly stats: LiveStats | undefined;
  private readonly write: (text: string) => void;
  private readonly width: () => number;
  private timer: NodeJS.Timeout | undefined;
  private attached = false;
  private drawn = -1;
  private readonly hz: number | undefined;

  constructor(isTerminal: boolean, write: (text: string) => void, view: HostView, width: () => number) {
    this.write = write;
    this.width = width;
    this.hz = view.xen.counterHz;
    this.stats = isTerminal ? new LiveStats() : undefined;
  }

  start(status: SessionStatus, live: LiveWatch | undefined, memory?: MemoryStatus): void {
    const { stats } = this;
    if (stats === undefined || live === undefined || this.timer !== undefined) return;
    this.timer = setInterval(() => {
      this.draw(status, stats, live, memory);
    }, EVERY_MS);
  }

  stop(): void {
    if (this.timer === undefined) return;
    clearInterval(this.timer);
    this.timer = undefined;
    this.write('\r\u001b[K');
  }

  private draw(
    status: SessionStatus,
    stats: LiveStats,
    live: LiveWatch,
    memory: MemoryStatus | undefined,
  ): void {
    if (!this.attached && live.dom0 !== undefined) {
      this.attached = true;
      stats.attach(live.dom0, live.waits, this.hz);
    }
    // Rates are of whole rounds: between two the line would say that nothing happens.
    if (this.drawn === status.rounds && this.attached) return;
    this.drawn = status.rounds;
    // A terminal line that wraps cannot be drawn over.
    const line = liveText(status, this.attached ? stats : undefined, live.blind);
    const text = (memory === undefined ? line : `${line} · ${memoryText(memory)}`).slice(0, this.width() - 1);
    this.write(`\r${text}\u001b[K`);
  }
}

/** A recording of memory: collector/memory/memory-recorder.ts. */
interface MemoryStatus {
  readonly status: { ioreqs: number; slower: number };
}

/** 'memory of 2.1 k ioreqs, each at least 1.8 times as long'. */
function memoryText({ status: { ioreqs, slower } }: MemoryStatus): string {
  const by = Number.isNaN(slower) ? '' : `, each at least ${slower.toFixed(1)} times as long`;
  return `memory of ${count(ioreqs)} ioreqs${by}`;
}

/** One line about a recording. `stats`: as soon as events were decoded; a snapshot of it is taken. */
export function liveText(
  status: SessionStatus,
  stats: Pick<LiveStats, 'snapshot'> | undefined,
  blind?: string,
): string {
  const { buffers, bufferKib, rawBytes } = status;
  let lost = 0;
  let fill = 0;
  for (const { overrun, dropped, bytes: unread } of buffers.values()) {
    lost += overrun + dropped;
    fill = Math.max(fill, unread / (bufferKib * 1024));
  }
  const parts = [`${Number.isNaN(status.elapsed) ? '0.0' : status.elapsed.toFixed(1)} s`];
  if (blind !== undefined) parts.push('events cannot be read here, only recorded');
  else if (stats === undefined) parts.push('waiting for ioreqs');
  else {
    const now = stats.snapshot();
    const rate = (value: number): string => (Number.isFinite(value) ? count(value) : '0');
    parts.push(`${rate(now.eventsPerSecond)} events/s`, `${rate(now.ioreqsPerSecond)} ioreqs/s`);
    const wait = now.measures[MEASURE.WAIT]!.total;
    const dom0 = now.measures[MEASURE.DOM0]!.total;
    if (wait.count > 0) parts.push(`vCPU waits p50 ${duration(wait.p50)} p99 ${duration(wait.p99)}`);
    if (dom0.count > 0) parts.push(`in Dom0 p50 ${duration(dom0.p50)} p99 ${duration(dom0.p99)}`);
    if (now.xenEvents > 0 && now.losses > 0) parts.push(`${now.losses} gaps`);
  }
  if (status.tracePoints !== undefined)
    parts.push(status.tracePoints === 'none' ? 'Xen unpatched' : 'Xen patched');
  parts.push(lost === 0 ? 'nothing lost' : `${count(lost)} LOST`);
  parts.push(`buffers ${Math.round(fill * 100)} % of ${bytes(bufferKib * 1024)}`, bytes(rawBytes));
  return parts.join(' · ');
}
