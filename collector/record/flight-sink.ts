import { LOG_FILE, XEN_FILE, cpuFile } from './file-sink.ts';
import { pagesAfterLoss, windowsAfterLoss } from './flight-cut.ts';
import type { FlightRing } from './live/flight-ring.ts';
import type { TriggerHit, TriggerWatch } from './live/trigger-watch.ts';
import type { LiveWatch } from './live/watch.ts';
import type { RawFiles } from './raw-files.ts';
import type { RecordSink } from './sink.ts';

const NEWLINE = 10;

export interface FlightParts {
  readonly ring: FlightRing;
  readonly watch: TriggerWatch;
  readonly live: LiveWatch;
  readonly pageBytes: number;
  /** How long recording goes on behind a trigger, s. */
  readonly afterSeconds: number;
  /** A trigger fired, and what came behind it is in the ring or the host's buffers: `false` ends the recording. */
  fired(hit: TriggerHit): boolean;
  /** The ring is complete up to one instant: to be saved. */
  complete(): void;
}

/** Everything into a ring that holds the last of it, until a trigger fires. */
export class FlightSink implements RecordSink {
  readonly warnings: string[] = [];
  private readonly parts: FlightParts;
  private readonly texts = new Map<string, string>();
  private roundNumber = 0;
  private hit: TriggerHit | undefined;
  private told: TriggerHit | undefined;
  private firedAt = NaN;
  private over = false;
  private logLine: Uint8Array = new Uint8Array(0);

  constructor(parts: FlightParts) {
    this.parts = parts;
  }

  pages(cpu: number, bytes: Uint8Array): void {
    const { ring, live, pageBytes } = this.parts;
    ring.addPages(cpuFile(cpu), this.roundNumber, bytes, pageBytes);
    live.pages(cpu, bytes);
  }

  xen(bytes: Uint8Array): void {
    const { ring, live } = this.parts;
    ring.addXentrace(XEN_FILE, this.roundNumber, bytes);
    live.xen(bytes);
  }

  log(bytes: Uint8Array): void {
    // Whole lines only, so that what is kept begins with one.
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    if (end === 0) {
      this.logLine = joined(this.logLine, bytes);
      return;
    }
    this.parts.ring.addChunk(LOG_FILE, this.roundNumber, [this.logLine, bytes.subarray(0, end)]);
    this.logLine = bytes.slice(end);
  }

  text(name: string, text: string): void {
    // What the kernel lost since the beginning says nothing of the part that the ring holds.
    if (!name.endsWith('.stats')) this.texts.set(name, text);
    this.parts.live.text(name, text);
  }

  round(number: number, uptime: number): void {
    const { live, watch, afterSeconds } = this.parts;
    this.roundNumber = number;
    live.round(number, uptime);
    if (this.over) return;
    if (this.hit === undefined && watch.hit !== undefined && watch.hit !== this.told) {
      this.hit = this.told = watch.hit;
      this.firedAt = uptime;
    } else if (this.hit !== undefined && uptime - this.firedAt >= afterSeconds) {
      this.over = !this.parts.fired(this.hit);
      this.hit = undefined;
    }
  }

  cut(): void {
    if (this.over) return;
    this.parts.complete();
    this.parts.watch.rearm();
  }

  /** Writes what the ring holds, and empties it. */
  save(files: RawFiles): void {
    for (const [name, text] of this.texts) files.text(name, text);
    const { ring } = this.parts;
    const cut = new Set(ring.cut);
    const seen = new Set<number>();
    ring.drain((name, _round, bytes) => {
      if (name === XEN_FILE && cut.has(name)) files.append(name, windowsAfterLoss(bytes, seen));
      else if (cut.delete(name) && name !== LOG_FILE) files.append(name, pagesAfterLoss(bytes));
      else files.append(name, bytes);
    });
  }

  warning(text: string): void {
    this.warnings.push(text);
  }

  get rawBytes(): number {
    return this.parts.ring.bytes;
  }

  get nearlyFull(): boolean {
    return false;
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
