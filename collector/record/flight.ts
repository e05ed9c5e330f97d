import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { isTraceError } from '../../trace/errors.ts';
import type { EndReason, RecordingFile } from '../../trace/recording-facts.ts';
import type { HostView } from '../probes/host-view.ts';
import type { RecordPlan } from '../probes/plan.ts';
import type { HostTransport } from '../transports/transport.ts';
import { FlightSink } from './flight-sink.ts';
import { FlightRing } from './live/flight-ring.ts';
import type { LatencySink } from './live/latency.ts';
import type { TriggerHit } from './live/trigger-watch.ts';
import { TriggerWatch } from './live/trigger-watch.ts';
import type { Trigger } from './live/trigger.ts';
import { LiveWatch, liveDevices } from './live/watch.ts';
import { removeIfEmpty } from './output.ts';
import { RawFiles } from './raw-files.ts';
import { RAW_FOLDER, ended, writeRecording } from './recording-file.ts';
import type { SessionEnd } from './session.ts';
import { RecordSession } from './session.ts';

export interface FlightOptions {
  /** Bytes of raw data that are kept. */
  bytes: number;
  triggers: readonly Trigger[];
  /** Ends after so many. */
  count: number;
  /** Recording goes on so long behind a trigger. */
  afterMs: number;
}

interface Around {
  dir: string;
  durationMs?: number;
  latencies?: LatencySink;
  started?: (session: RecordSession, live: LiveWatch | undefined) => void;
}

/**
 * A recording of which only the last bytes are kept, in memory, until a trigger fires: then they are written, with
 * what came shortly behind. If it ends before any has, what is in the ring is written all the same: a domain that
 * died is what one wants to see the end of.
 */
export class FlightRecorder {
  private readonly view: HostView;
  private readonly plan: RecordPlan;
  private readonly facts: RecordingFile;
  private readonly around: Around;
  private readonly options: FlightOptions;
  private readonly dirs: string[] = [];
  private saved = 0;

  /** Throws E_USAGE if there is no memory for the ring, or a trigger names a device that is not there. */
  constructor(
    view: HostView,
    plan: RecordPlan,
    facts: RecordingFile,
    around: Around,
    options: FlightOptions,
  ) {
    this.view = view;
    this.plan = plan;
    this.facts = facts;
    this.around = around;
    this.options = options;
  }

  async run(host: HostTransport): Promise<{ end: SessionEnd; dirs: string[] }> {
    const { view, plan, around, options } = this;
    let session: RecordSession | undefined;
    try {
      const watch = new TriggerWatch(options.triggers, liveDevices(view));
      const live = new LiveWatch(
        view,
        [watch, ...(around.latencies === undefined ? [] : [around.latencies])],
        true,
      );
      const sink: FlightSink = new FlightSink({
        ring: new FlightRing(options.bytes),
        watch,
        live,
        pageBytes: plan.pageBytes,
        afterSeconds: options.afterMs / 1000,
        fired: (hit) => {
          this.facts.triggered = hitText(hit);
          if (this.saved + 1 < options.count) {
            session?.cut();
            return true;
          }
          session?.stop('trigger', this.facts.triggered);
          return false;
        },
        complete: () => {
          Object.assign(this.facts, session?.xenFindings);
          this.save(sink, 'trigger', this.facts.triggered);
        },
      });
      session = new RecordSession(host, plan, view.deviceModels, sink);
      around.started?.(session, live);
      const end = await session.run(around.durationMs);
      Object.assign(this.facts, session.xenFindings);
      // With some traces written, an end without another trigger leaves nothing more to tell.
      if (end.reason === 'trigger' || this.saved === 0) this.save(sink, end.reason, end.detail);
      return { end, dirs: this.dirs };
    } catch (error) {
      if (this.saved === 0) {
        rmSync(join(around.dir, RAW_FOLDER), { recursive: true, force: true });
        removeIfEmpty(around.dir);
      }
      throw error;
    }
  }

  private save(sink: FlightSink, state: EndReason, detail: string | undefined): void {
    this.saved++;
    const dir = this.options.count === 1 ? this.around.dir : join(this.around.dir, `trigger-${this.saved}`);
    const raw = join(dir, RAW_FOLDER);
    const files = new RawFiles(raw);
    const facts = { ...this.facts, flightBytes: this.options.bytes };
    // First, so that what is written before the disk is full can be sealed.
    writeRecording(raw, ended(facts, state, detail));
    let full: string | undefined;
    try {
      for (const [name, text] of this.view.texts) files.text(name, text);
      sink.save(files);
    } catch (error) {
      if (!isTraceError(error) || error.code !== 'E_WRITE') throw error;
      full = error.message;
    } finally {
      files.close();
    }
    facts.warnings = [...facts.warnings, ...sink.warnings];
    writeRecording(raw, full === undefined ? ended(facts, state, detail) : ended(facts, 'disk', full));
    this.dirs.push(dir);
  }
}

/** 'mmio > 2ms: blk0 vCPU 1 took 3.412 ms'. */
function hitText({ trigger, ns, open, deviceName, vcpu }: TriggerHit): string {
  const who = [deviceName, vcpu === 0xffff ? undefined : `vCPU ${vcpu}`].filter((part) => part !== undefined);
  const took = `${open ? 'open for' : 'took'} ${(ns / 1e6).toFixed(3)} ms`;
  return `${trigger.text}: ${[...who, took].join(' ')}`;
}
