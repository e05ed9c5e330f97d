import type { OpenTrace } from '../../trace/open-files.ts';
import { DIR_READ, DIR_WRITE } from '../../trace/ioreq.ts';
import { REC_TAG } from '../../trace/recording.ts';
import { NO_DEVICE, type SpanBatch } from '../../trace/spans.ts';

/** A recording of more accesses, or a trace of more, is not laid side by side. */
const MOST = 4_000_000;
/** Comparisons to find where one series lies in the other; series that repeat themselves need the most. */
const MOST_TRIES = 100_000_000;
const SYNTHESISED = '"synth":true';
/** Place of accesses that no device of the trace has. */
const NOWHERE = -1;

/** Accesses of one device in order: `key * 2 + (1 for a write)`, and what each is known by. */
interface Series {
  what: number[];
  /** Of the recording: its step. Of the trace: the span's start, ns. */
  at: number[];
}

/** The trace's own accesses by device, collected from its spans as they are found. */
export class TimedAccesses {
  readonly devices = new Map<number, Series>();
  private held = 0;

  add(batch: SpanBatch): void {
    for (let i = 0; i < batch.length && this.held <= MOST; i++) {
      if (batch.device[i] === NO_DEVICE || Number.isNaN(batch.start[i]!)) continue;
      this.held++;
      push(this.devices, batch.device[i]!, what(batch.key[i]!, batch.dir[i]!), batch.start[i]!);
    }
  }

  get tooMany(): boolean {
    return this.held > MOST;
  }
}

/**
 * When each step of a recording was, ns on the trace's axis; undefined where that cannot be told. A recording holds an
 * order and no times, so its accesses are looked for among the timed ones of the same device: the same registers in the
 * same directions one after another, at one place only. A step that is no access belongs to the access before it.
 */
export function stepTimes(
  trace: OpenTrace,
  source: string,
  timed: TimedAccesses,
  steps: readonly number[],
): (number | undefined)[] {
  const recorded = accessesOf(trace, source);
  if (recorded === undefined || timed.tooMany) return steps.map(() => undefined);
  const placed: [step: number, ns: number | undefined][] = [];
  for (const [device, own] of recorded) {
    const there = timed.devices.get(device);
    const order = there === undefined ? undefined : sorted(there);
    const offset = order === undefined ? undefined : placeOf(own.what, order.what);
    own.at.forEach((step, n) => {
      placed.push([step, offset === undefined ? undefined : order!.at[n + offset]]);
    });
  }
  placed.sort((a, b) => a[0] - b[0]);
  return steps.map((step) => {
    let [lo, hi] = [0, placed.length];
    while (lo < hi) {
      const middle = (lo + hi) >>> 1;
      if (placed[middle]![0] <= step) lo = middle + 1;
      else hi = middle;
    }
    return placed[lo - 1]?.[1];
  });
}

const what = (key: number, dir: number): number => key * 2 + (dir === DIR_WRITE ? 1 : 0);

function push(to: Map<number, Series>, device: number, access: number, at: number): void {
  let series = to.get(device);
  if (series === undefined) to.set(device, (series = { what: [], at: [] }));
  series.what.push(access);
  series.at.push(at);
}

/** What the guest was seen to do, by the manifest's devices; undefined if the recording cannot be read whole. */
function accessesOf(trace: OpenTrace, source: string): Map<number, Series> | undefined {
  const { devices } = trace.manifest;
  const found = new Map<number, Series>();
  let held = 0;
  try {
    for (const batch of trace.recording(source) ?? []) {
      for (let i = 0; i < batch.length; i++) {
        const tag = batch.tag[i]!;
        if (tag !== REC_TAG.READ && tag !== REC_TAG.WRITE) continue;
        if (++held > MOST) return undefined;
        const address = batch.addr[2 * i]! + batch.addr[2 * i + 1]! * 0x1_0000_0000;
        // What the recorder put together itself happened at no time.
        const device = batch.rest[i]!.includes(SYNTHESISED)
          ? NOWHERE
          : devices.findIndex((d) => address >= d.base && address < d.base + d.size);
        const dir = tag === REC_TAG.READ ? DIR_READ : DIR_WRITE;
        push(found, device, what(address - (devices[device]?.base ?? 0), dir), batch.step[i]!);
      }
    }
  } catch {
    // Damage is told by whoever opens the trace; here it only means that nothing can be placed.
    return undefined;
  }
  return found;
}

function sorted({ what: of, at }: Series): Series {
  const order = at.map((_, i) => i).sort((a, b) => at[a]! - at[b]!);
  return { what: order.map((i) => of[i]!), at: order.map((i) => at[i]!) };
}

/**
 * How many timed accesses come before the first recorded one (negative: recorded ones before the first timed one), if
 * the shorter series lies in the longer at one place; undefined if at none or at several.
 */
function placeOf(recorded: readonly number[], timed: readonly number[]): number | undefined {
  const [short, long] = recorded.length <= timed.length ? [recorded, timed] : [timed, recorded];
  if (short.length === 0) return undefined;
  let found: number | undefined;
  let tries = 0;
  for (let offset = 0; offset + short.length <= long.length; offset++) {
    let n = 0;
    while (n < short.length && short[n] === long[offset + n]) n++;
    if ((tries += n + 1) > MOST_TRIES) return undefined;
    if (n < short.length) continue;
    if (found !== undefined) return undefined;
    found = offset;
  }
  return found === undefined || short === recorded ? found : -found;
}
