import { isTraceError } from '../../../trace/errors.ts';
import { nameDevices } from '../../probes/device-names.ts';
import type { HostView } from '../../probes/host-view.ts';
import { EventFormats } from '../../sources/ftrace/event-format.ts';
import { parseTraceClock } from '../../sources/ftrace/trace-clock.ts';
import type { Tap } from '../file-sink.ts';
import { Dom0Latencies } from './dom0-latencies.ts';
import type { LatencySink, LiveDevice, LiveTarget } from './latency.ts';
import { LiveFeed } from './live-feed.ts';
import { VcpuWaits } from './vcpu-waits.ts';

/** The devices as triggers name them. */
export function liveDevices(view: HostView): LiveDevice[] {
  return nameDevices(view.devices);
}

/** A probe of the device model's calls that fetches the slots; dm_op's arguments are called a0, a1 too. */
const SLOTS_FETCHED = /evtchn_(?:read|ioctl)\b.* a0=.* b0=/;

/**
 * Looks at a recording while it is made: decodes what comes and gives the latencies to sinks (LiveStats,
 * TriggerWatch). It takes the event formats from the texts that come first; until they are there, and if they
 * cannot be understood, it is blind and the recording goes on without it.
 */
export class LiveWatch implements Tap {
  /** Why it sees nothing, if it does. */
  blind: string | undefined;
  dom0: Dom0Latencies | undefined;
  waits: VcpuWaits | undefined;
  private readonly view: HostView;
  private readonly sinks: readonly LatencySink[];
  private readonly flight: boolean;
  private readonly formats = new EventFormats();
  private clockName = 'mono_raw';
  private kprobes = '';
  private feed: LiveFeed | undefined;
  private roundBegan = NaN;

  constructor(view: HostView, sinks: readonly LatencySink[], flight: boolean) {
    this.view = view;
    this.sinks = sinks;
    this.flight = flight;
  }

  text(name: string, text: string): void {
    try {
      if (name.endsWith('/header_page')) this.formats.addHeaderPage(text, name);
      else if (name.endsWith('/format')) this.formats.add(text, name, name.split('/').at(-3) ?? '');
      else if (name === 'trace_clock.txt') this.clockName = parseTraceClock(text);
      else if (name === 'kprobe_events.txt') this.kprobes = text;
    } catch (error) {
      if (!isTraceError(error)) throw error;
      this.blind = error.message;
    }
  }

  pages(cpu: number, bytes: Uint8Array): void {
    this.started()?.pages(cpu, bytes);
  }

  xen(bytes: Uint8Array): void {
    this.started()?.xentrace(bytes);
  }

  round(_number: number, uptime: number): void {
    // Told when a round begins: then the one before is over, and all that is older than its beginning has come.
    this.started()?.endRound(this.roundBegan);
    this.roundBegan = uptime;
  }

  finish(): void {
    this.feed?.finish();
  }

  private started(): LiveFeed | undefined {
    if (this.feed !== undefined || this.blind !== undefined) return this.feed;
    const { view } = this;
    const target: LiveTarget = {
      domid: view.domain.domid,
      devices: liveDevices(view),
      pids: view.deviceModels.flatMap((model) => model.threads.map(({ tid }) => tid)),
      // Where the probes fetch the slots, a port that carries no ioreq is none of ours.
      contents: SLOTS_FETCHED.test(this.kprobes),
    };
    this.dom0 = new Dom0Latencies(target, this.sinks);
    const hz = view.xen.counterHz;
    if (hz !== undefined) this.waits = new VcpuWaits(target, hz, this.sinks);
    this.feed = new LiveFeed({
      formats: this.formats,
      kprobes: this.kprobes,
      clockName: this.clockName,
      flight: this.flight,
      dom0: this.dom0,
      ...(this.waits === undefined ? {} : { xen: this.waits }),
    });
    return this.feed;
  }
}
