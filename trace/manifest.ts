import type { RecordingFacts } from './recording-facts.ts';
import type { SpanFamily } from './spans.ts';

/** Version of the trace directory's format. Every change of meaning raises it; docs/FORMAT.md has the history. */
export const FORMAT_VERSION = 1;
export const MANIFEST_FILE = 'manifest.json';

/** manifest.json of a trace directory. All 64-bit values are decimal strings. */
export interface Manifest {
  format: 'ioreq-trace';
  version: number;
  tool: { name: string; version: string };
  /** RFC 3339, UTC. */
  created: string;
  /** False while it is being written: whatever is there may be read, with a warning. */
  complete: boolean;
  /** Why the recording or import ended, in words; 'complete' if nothing special. */
  ended: string;
  host: HostFacts;
  /** The traced domain; undefined if the raw data do not tell. */
  domid?: number;
  vcpus?: number;
  devices: DeviceFacts[];
  /** Processes of the device models, thread ids included. */
  deviceModels: { pid: number; name: string; threads: number[] }[];
  /** Dom0 task names by pid, as far as known. */
  tasks: Record<string, string>;
  sources: SourceFacts[];
  /** Files that were given and not understood, or were empty. */
  unknownFiles: string[];
  /** How the sources' clocks lie to each other; absent if there is only one clock, or none. */
  clock?: ClockRelation;
  /** How the clock of a device model's log lies to Dom0's; absent if there is no such log, or no relation. */
  logClock?: LogClock;
  /** How it was recorded on a live host; absent for captures that were imported. */
  recording?: RecordingFacts;
  /** What one look over all events told when the trace was made; absent where that look was not taken. */
  findings?: Findings;
  warnings: string[];
}

/**
 * What an analysis must know of the events before it goes over them: the domain's ioreq ports. Only of a trace in
 * which nothing was lost.
 */
export interface Findings {
  /** What it was found from, in the finder's own words: findings from anything else do not hold. */
  from: string;
  domid?: number;
  vcpus: number;
  /** Threads of the device models that answer ioreqs. */
  pids: number[];
  /** Event-channel ports with the vCPU that each stands for. */
  ports: { port: number; vcpu: number }[];
  portsBy: string;
  /** EVTCHN_NOTIFYs on those ports. */
  answers: number;
}

export interface HostFacts {
  xenVersion?: string;
  linuxVersion?: string;
  machine?: string;
  /** Arm generic timer frequency in Hz: the unit of Xen's ticks. */
  counterHz?: number;
  deviceModel?: string;
}

export interface DeviceFacts {
  /** Short unique name: 'blk0', 'net0'. */
  name: string;
  /** 'blk', 'net', 'console' ... (virtio-mmio.ts), 'unknown' if the trace does not tell. */
  kind: string;
  /** Guest physical address of the register window. */
  base: number;
  size: number;
  /** Interrupt line; 0 = unknown. */
  spi: number;
  /** Where the device is known from: the toolstack's record, or the accesses in the trace. */
  origin?: 'xenstore' | 'events';
  /** True if the SPI is not recorded but follows from the window's place in Xen's layout. */
  spiDerived?: boolean;
}

export interface SourceFacts {
  /** Name of the event file without its ending, unique: 'xen', 'dom0', 'dm-log'. */
  id: string;
  /** Raw format it came from (RawFormat.name). */
  format: string;
  /** Raw files, as given. */
  files: string[];
  clock: { name: string; unit: 'ticks' | 'ns' | 'us' | 'none'; epoch: string; hz?: number };
  rows: number;
  records: number;
  /** Rows by event kind name (events.ts). */
  kinds: Record<string, number>;
  /** Whole records by the name the raw format gives them. */
  rawNames: Record<string, number>;
  firstTs: number;
  lastTs: number;
  /** Total of lost records (unknown numbers count 1), and where. */
  lost: number;
  losses: { cpu?: number; count: number; ts: number | null }[];
  strings: string[];
  errors: { code: string; message: string }[];
}

/**
 * Where Xen's counter lies against Dom0's ftrace clock:
 * xenNs(t) = dom0Ns(t) + offsetNs + rate * (dom0Ns(t) - dom0Ns at the reference),
 * where xenNs = ticks * 1e9 / counterHz and both are absolute readings.
 */
export interface ClockRelation {
  /** Source ids. */
  xen: string;
  dom0: string;
  /** Offset at the reference instant, in ns (may exceed 2^53 in its fraction only). */
  offsetNs: number;
  /** Half the width of the interval in which the offset at the reference certainly lies. */
  errorNs: number;
  /** Largest half-width over the whole trace. */
  maxErrorNs: number;
  /** Relative rate difference, Xen's nanoseconds a Dom0 nanosecond, minus 1. */
  rate: number;
  /** Dom0 clock reading (absolute ns, decimal) of the reference: the trace's first event. */
  referenceDom0Ns: string;
  /** Which bounds held it in, with how many pairs each gave. */
  methods: { name: string; pairs: number }[];
  /** The offset is a constant that Xen and Dom0's kernel told, not an estimate; the errors are those of rounding. */
  exact?: boolean;
  /** Beside an exact relation: what would have been estimated of the same records on an unpatched Xen. */
  estimate?: ClockEstimate;
  /** Set if the bounds contradict each other or are too few: what to make of the relation. */
  warning?: string;
}

/** An estimate of the offset at the relation's reference, in its terms. */
export type ClockEstimate = Pick<ClockRelation, 'offsetNs' | 'errorNs' | 'maxErrorNs' | 'rate' | 'methods'>;

/** Families in the order reports show them. */
export const SPAN_FAMILIES: readonly SpanFamily[] = ['mmio', 'interrupt', 'injection', 'request'];

/**
 * Where the stamps of a device model's log lie against Dom0's ftrace clock, both as absolute ns:
 * logNs(t) = dom0Ns(t) + offsetNs + rate * (dom0Ns(t) - dom0Ns at the reference).
 *
 * It speaks of stamps, which the log cuts to whole units (1 us): the middle of what an event with a stamp can
 * have been. So the errors below are those of a logged event's place, half a unit included. They hold from the
 * first to the last ioreq, if the log's clock was slewed by no more than 1000 ppm and was not stepped by less
 * than the error (a greater step shows, and then there is no relation).
 */
export interface LogClock {
  /** Source ids. */
  log: string;
  dom0: string;
  /** Offset at the reference, whole ns, decimal: between a wall clock and one that counts from boot. */
  offsetNs: string;
  /** How far a logged event can be from its place by the relation: at the reference, and over all ioreqs. */
  errorNs: number;
  maxErrorNs: number;
  /** The same over all ioreqs if the log's clock kept one rate; absent if it certainly did not. */
  steadyErrorNs?: number;
  /** The log's nanoseconds a Dom0 nanosecond, minus 1. */
  rate: number;
  /** Dom0 clock reading (absolute ns, decimal) of the reference: where the first ioreq was taken up. */
  referenceDom0Ns: string;
  /** Ioreqs of the log, each paired with its answer in Dom0. */
  pairs: number;
  /** What to doubt. */
  warning?: string;
}
