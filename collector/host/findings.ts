import type { RecordingFile } from '../../trace/recording-facts.ts';

/** One device as the toolstack recorded it. */
export interface ListedDevice {
  domid: number;
  kind: string;
  base: number;
  spi: number;
}

/** Losses of one CPU's ring buffer as the kernel counted them (tracefs per_cpu/cpuN/stats). */
export interface CpuStats {
  file: string;
  cpu: number;
  /** Events overwritten or dropped. */
  lost: number;
}

/**
 * What the auxiliary files of a capture say about the host, gathered before any event is read. Later files do
 * not overwrite what an earlier one said.
 */
export class HostFindings {
  xenVersion: string | undefined;
  linuxVersion: string | undefined;
  machine: string | undefined;
  deviceModel: string | undefined;
  /** Hz from the hypervisor's boot messages, from `xl info`, and from clock samples: best first. */
  counterHz: { dmesg?: number; xlInfo?: number; samples?: number } = {};
  /** -xen-domid of each device-model command line. */
  readonly commandDomids: number[] = [];
  /** Virtual CPUs by domid. */
  readonly vcpus = new Map<number, number>();
  /** Domids the toolstack listed, Dom0 left out. */
  readonly guests = new Set<number>();
  readonly devices: ListedDevice[] = [];
  /** Task names of Dom0 by pid. */
  readonly tasks = new Map<number, string>();
  /** Lists of threads of device models, the process itself first. */
  readonly threadLists: { threads: number[]; name: string }[] = [];
  readonly stats: CpuStats[] = [];
  /** Clocks that trace_clock files name, with the file. */
  readonly traceClocks: { file: string; name: string }[] = [];
  /** Texts of kprobe_events and uprobe_events. */
  readonly probeTexts: string[] = [];
  /** Samples of the kernel's tk_fast_raw, each its u64 words (host/timekeeper.ts); why there are none. */
  readonly timekeeper: bigint[][] = [];
  timekeeperRemark: string | undefined;
  /** Readings of mono_raw (ns), each between two of Dom0's CNTVCT (ticks). */
  readonly clockPairs: { before: bigint; ns: bigint; after: bigint }[] = [];
  /** Texts of event formats and header pages; parsed for the group of pages they lie beside. */
  readonly formatTexts: { file: string; text: string; what: 'format' | 'header_page' }[] = [];
  /** What the recorder wrote down, if the capture is a recording of ours. */
  recording: RecordingFile | undefined;
  readonly warnings: string[] = [];
}
