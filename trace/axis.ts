import type { Manifest, SourceFacts } from './manifest.ts';

/** Place of one source on the trace's axis: axis ns = ts * scale + shift, ts as in the event columns. */
export interface AxisLine {
  readonly scale: number;
  readonly shift: number;
}

/**
 * The one time axis of a trace: nanoseconds as float64, 0 = the first event of all the sources that have a place
 * on it. It is Dom0's trace clock if the trace has such a source, else Xen's counter. Whole nanoseconds of Dom0
 * come out exact as long as the trace is shorter than 2^53 ns (104 days).
 */
export interface TraceAxis {
  /** Clock that the axis runs on: an ftrace clock's name, or 'xen'; undefined if no source has a time. */
  readonly clock: string | undefined;
  /** Reading of that clock at axis 0, ns, exact to 1 ns; 0n without a clock. */
  readonly originNs: bigint;
  /** Last event of all placed sources, axis ns; 0 if there is none. */
  readonly lastNs: number;
  /** undefined for a source without a time, or whose clock has no known relation to the axis. */
  line(sourceId: string): AxisLine | undefined;
}

export type AxisManifest = Pick<Manifest, 'sources' | 'clock' | 'logClock' | 'host'>;

/** Never throws on a checked manifest. */
export function traceAxis(manifest: AxisManifest): TraceAxis {
  const timed = manifest.sources.filter(
    (s) => s.rows > 0 && unitNs(s, manifest) > 0 && parseEpoch(s) !== undefined,
  );
  const main = mainSource(manifest, timed);
  const lines = new Map<string, AxisLine>();
  if (main === undefined) return { clock: undefined, originNs: 0n, lastNs: 0, line: () => undefined };

  // Everything is first laid relative to the main source's epoch: small numbers, so nothing is lost.
  const base = epochNs(main, manifest).whole;
  for (const source of timed) {
    const line = place(source, main, manifest, base);
    if (line !== undefined) lines.set(source.id, line);
  }
  let first = Infinity;
  let last = -Infinity;
  for (const source of timed) {
    const line = lines.get(source.id);
    if (line === undefined) continue;
    if (Number.isFinite(source.firstTs)) first = Math.min(first, source.firstTs * line.scale + line.shift);
    if (Number.isFinite(source.lastTs)) last = Math.max(last, source.lastTs * line.scale + line.shift);
  }
  if (!Number.isFinite(first)) first = 0;
  for (const [id, { scale, shift }] of lines) lines.set(id, { scale, shift: shift - first });
  return {
    clock: main.clock.name,
    originNs: base + BigInt(Math.round(first)),
    lastNs: Number.isFinite(last) ? last - first : 0,
    line: (id) => lines.get(id),
  };
}

/** Axis times of `length` values of a ts column; writes into `out`, which may be `ts` itself. */
export function toAxis(line: AxisLine, ts: Float64Array, length: number, out: Float64Array): void {
  const { scale, shift } = line;
  for (let i = 0; i < length; i++) out[i] = ts[i]! * scale + shift;
}

/** The inverse: a source's ts of an axis time. */
export function fromAxis(line: AxisLine, axisNs: number): number {
  return (axisNs - line.shift) / line.scale;
}

function isXen(source: SourceFacts): boolean {
  return source.clock.name === 'xen';
}

function mainSource(manifest: AxisManifest, timed: readonly SourceFacts[]): SourceFacts | undefined {
  const related =
    timed.find((s) => s.id === manifest.clock?.dom0) ?? timed.find((s) => s.id === manifest.logClock?.dom0);
  if (related !== undefined) return related;
  // Kernel traces before logs: a log's wall clock is of no use to the others.
  const dom0 = timed.filter((s) => !isXen(s) && !WALL_CLOCKS.includes(s.clock.name));
  dom0.sort((a, b) => b.rows - a.rows);
  return dom0[0] ?? timed.find(isXen) ?? timed.find((s) => !isXen(s));
}

/** Where `source` lies against the main source's clock; shift relative to `base` ns on that clock. */
function place(
  source: SourceFacts,
  main: SourceFacts,
  manifest: AxisManifest,
  base: bigint,
): AxisLine | undefined {
  const scale = unitNs(source, manifest);
  const epoch = epochNs(source, manifest);
  if (source.clock.name === main.clock.name && isXen(source) === isXen(main)) {
    return { scale, shift: Number(epoch.whole - base) + epoch.fraction };
  }
  const { clock, logClock } = manifest;
  if (clock?.xen === source.id && clock.dom0 === main.id) {
    if (!Number.isFinite(clock.offsetNs)) return undefined;
    const offset = Math.trunc(clock.offsetNs);
    const rest = epoch.fraction - (clock.offsetNs - offset);
    return solve(scale, epoch.whole - BigInt(offset), rest, clock, base);
  }
  if (logClock?.log === source.id && logClock.dom0 === main.id) {
    if (!WHOLE_NUMBER.test(logClock.offsetNs)) return undefined;
    return solve(scale, epoch.whole - BigInt(logClock.offsetNs), epoch.fraction, logClock, base);
  }
  return undefined;
}

/**
 * A relation reading = d + offset + rate * (d - reference), solved for d, Dom0's reading, at ts = 0; `whole` and
 * `fraction` are the reading there minus the offset.
 */
function solve(
  scale: number,
  whole: bigint,
  fraction: number,
  { rate, referenceDom0Ns }: { rate: number; referenceDom0Ns: string },
  base: bigint,
): AxisLine | undefined {
  const stretch = 1 + rate;
  if (!(stretch > 0) || !WHOLE_NUMBER.test(referenceDom0Ns)) return undefined;
  const reference = BigInt(referenceDom0Ns);
  const beyond = Number(whole - reference) + fraction;
  return { scale: scale / stretch, shift: Number(reference - base) + beyond / stretch };
}

/** ns a unit of ts; NaN if the unit is no time. Ticks of other clocks (jiffies, a TSC) have no known length. */
function unitNs(source: SourceFacts, manifest: AxisManifest): number {
  const { unit, hz } = source.clock;
  if (unit === 'ticks') return 1e9 / (hz ?? (isXen(source) ? manifest.host.counterHz : undefined) ?? NaN);
  return unit === 'none' ? NaN : unit === 'us' ? 1000 : 1;
}

/** The clock's reading at ts = 0 in ns, in two parts so that nothing is lost to float64. */
function epochNs(source: SourceFacts, manifest: AxisManifest): { whole: bigint; fraction: number } {
  const epoch = parseEpoch(source) ?? 0n;
  if (source.clock.unit === 'us') return { whole: epoch * 1000n, fraction: 0 };
  if (source.clock.unit !== 'ticks') return { whole: epoch, fraction: 0 };
  const milliHz = BigInt(Math.max(1, Math.round(1e12 / unitNs(source, manifest))));
  const scaled = epoch * 1_000_000_000_000n;
  return { whole: scaled / milliHz, fraction: Number(scaled % milliHz) / Number(milliHz) };
}

function parseEpoch(source: SourceFacts): bigint | undefined {
  return WHOLE_NUMBER.test(source.clock.epoch) ? BigInt(source.clock.epoch) : undefined;
}

/** Of 64 bits, as the manifest writes it. */
const WHOLE_NUMBER = /^-?\d{1,20}$/;

const WALL_CLOCKS = ['realtime'];
