/**
 * Spans: what the passes make of events. One table shape serves all three families, so that statistics,
 * outlier lists, exports and the page need no code per family.
 *
 * Times are float64 nanoseconds on the trace's axis (0 = the trace's first event). A missing boundary is
 * NaN, never 0; a span with a missing boundary has NaN in the two stages beside it, and NaN as its total if
 * it lacks the first or the last one.
 */
export type SpanFamily = 'mmio' | 'interrupt' | 'injection' | 'request';

/** `no-later-than`: the instant is only known as an upper bound (Xen sees it at the next exit of the vCPU). */
export type BoundKind = 'exact' | 'no-later-than';

/** Xen's counter, Dom0's trace clock, or the clock of the device model's log. */
export type BoundaryClock = 'xen' | 'dom0' | 'dm';

export interface Boundary {
  /** Short stable name: 'trap', 'send', 'dom0_irq', 'dm_read', 'service', 'answer', 'wake', 'running' ... */
  readonly name: string;
  /** Which clock it was read on; a stage between two clocks carries the clock error. */
  readonly clock: BoundaryClock;
  readonly bound: BoundKind;
}

export interface Stage {
  /** `from→to` by boundary names, or PREEMPTED. */
  readonly name: string;
  readonly title: string;
  readonly from: string;
  readonly to: string;
  /** True if the two ends were read on different clocks. */
  readonly crossesClocks: boolean;
  readonly bound: BoundKind;
  /** True if the stage lies within the family's total: these stages add up to it, span by span. */
  readonly inTotal: boolean;
  /** Column of SpanBatch.preempted that the stage's length leaves out; -1 if it cannot hold preemption. */
  readonly preempted: number;
}

/**
 * Name of the stage that holds what the others leave out: the time for which the span's vCPU was preempted
 * (running→runnable … →running), summed over the stages of the total. It has no place between two instants.
 */
export const PREEMPTED = 'preempted';

/** Bits of the `flags` column. */
export const SPAN_FLAG = {
  /** At least one boundary that other spans of the trace have is missing here. */
  INCOMPLETE: 1,
  /** Records were lost while it was open: kept out of percentiles. */
  LOSS: 2,
  /** The vCPU was answered before Xen had descheduled it: no runstate pair. */
  NO_WAIT: 4,
  /** Answered in the kernel (ioeventfd) or sent by it (irqfd): there is no device-model stage. */
  KERNEL: 8,
  /** A map-cache INVALIDATE, not an access of the guest's. */
  INVALIDATE: 16,
  /** It was open when the trace began or ended. */
  CUT: 32,
  /** Seen by one side only (hypervisor or Dom0). */
  ONE_SIDED: 64,
  /** A request that no notify started: of a receive queue, or added while the device had notifications off. */
  UNNOTIFIED: 128,
} as const;

export const NO_DEVICE = 0xffff;
/** `key` where the register, queue or SPI is unknown. */
export const NO_KEY = 0xffffffff;
export const DIR_UNKNOWN = 255;
export const TARGET_UNKNOWN = 255;

/**
 * Columns of one batch of spans of one family.
 *
 * key: mmio register offset in its device's window | interrupt SPI | request queue.
 * dir: 0 write, 1 read, DIR_UNKNOWN; for a request: 0 the device reads (out), 1 it writes (in).
 * type: mmio ioreq type | request's virtio-blk type | interrupt and injection: RUNSTATE of the target vCPU when it was
 * injected (OFFLINE: in an ioreq of its own), TARGET_UNKNOWN if no record tells.
 * amount: mmio access size in bytes | interrupt raises it stands for | request bytes.
 * value: mmio low 32 bits of the data | request queue depth when it was popped | interrupt status bits read.
 * group: running number of the notify (request) or interrupt that it belongs to, for many-to-many joins.
 */
export class SpanBatch {
  readonly capacity: number;
  length = 0;
  readonly start: Float64Array;
  readonly total: Float64Array;
  readonly device: Uint16Array;
  readonly key: Uint32Array;
  readonly vcpu: Uint16Array;
  readonly dir: Uint8Array;
  readonly type: Uint8Array;
  readonly flags: Uint16Array;
  readonly amount: Uint32Array;
  readonly value: Uint32Array;
  readonly group: Uint32Array;
  /** Boundary times, one column a boundary of the family's plan. */
  readonly at: readonly Float64Array[];
  /** ns of preemption of the vCPU, one column a name in the plan's `preempted`; NaN where it is not known. */
  readonly preempted: readonly Float64Array[];

  constructor(boundaries: number, capacity = 2048, preempted = 0) {
    this.capacity = capacity;
    this.start = new Float64Array(capacity);
    this.total = new Float64Array(capacity);
    this.device = new Uint16Array(capacity);
    this.key = new Uint32Array(capacity);
    this.vcpu = new Uint16Array(capacity);
    this.dir = new Uint8Array(capacity);
    this.type = new Uint8Array(capacity);
    this.flags = new Uint16Array(capacity);
    this.amount = new Uint32Array(capacity);
    this.value = new Uint32Array(capacity);
    this.group = new Uint32Array(capacity);
    this.at = Array.from({ length: boundaries }, () => new Float64Array(capacity));
    this.preempted = Array.from({ length: preempted }, () => new Float64Array(capacity));
  }

  get full(): boolean {
    return this.length >= this.capacity;
  }
}

/** The boundaries a trace's hooks can show for one family, and the stages between them. */
export interface SpanPlan {
  readonly family: SpanFamily;
  /** What the total is called, e.g. 'trap → resume' or 'vCPU descheduled → running'. */
  readonly title: string;
  readonly boundaries: readonly Boundary[];
  /**
   * First the chain: stages[k] lies between boundaries[k] and boundaries[k + 1], up to the last of them. Then asides,
   * which end in a boundary behind the chain's, and PREEMPTED where preemption can be seen.
   */
  readonly stages: readonly Stage[];
  /** Indices of the boundaries between which `total` is taken. */
  readonly totalFrom: number;
  readonly totalTo: number;
  /** The boundaries at which the stages begin that preemption is known of, in order. */
  readonly preempted: readonly string[];
}

/** Lengths of a plan's stages: the one place that knows how a stage is made of columns. */
export class StageLengths {
  private readonly from: Int32Array;
  private readonly to: Int32Array;
  private readonly net: Int32Array;
  /** Columns that PREEMPTED sums. */
  private readonly lost: Int32Array;

  constructor(plan: Pick<SpanPlan, 'boundaries' | 'stages'>) {
    const index = (name: string): number => plan.boundaries.findIndex((b) => b.name === name);
    this.from = Int32Array.from(plan.stages, (s) => (s.name === PREEMPTED ? -1 : index(s.from)));
    this.to = Int32Array.from(plan.stages, (s) => index(s.to));
    this.net = Int32Array.from(plan.stages, (s) => s.preempted);
    this.lost = Int32Array.from(
      plan.stages.filter((s) => s.inTotal && s.preempted >= 0),
      (s) => s.preempted,
    );
  }

  /** Length of stage `k` of row `i`, ns, without preemption; NaN if an end of it was not seen. */
  ns(columns: Pick<SpanBatch, 'at' | 'preempted'>, k: number, i: number): number {
    const from = this.from[k]!;
    if (from < 0) {
      let sum = 0;
      for (let n = 0; n < this.lost.length; n++) sum += columns.preempted[this.lost[n]!]![i]!;
      return sum;
    }
    const length = columns.at[this.to[k]!]![i]! - columns.at[from]![i]!;
    const net = this.net[k]!;
    return net < 0 ? length : length - columns.preempted[net]![i]!;
  }
  /** `ns` of stage `k` for the first `n` of `rows`, into `out`. */
  column(
    columns: Pick<SpanBatch, 'at' | 'preempted'>,
    k: number,
    rows: Int32Array,
    n: number,
    out: Float64Array,
  ): void {
    const from = this.from[k]!;
    if (from < 0) {
      for (let r = 0; r < n; r++) out[r] = this.ns(columns, k, rows[r]!);
      return;
    }
    const begin = columns.at[from]!;
    const end = columns.at[this.to[k]!]!;
    const lost = this.net[k]! < 0 ? undefined : columns.preempted[this.net[k]!]!;
    if (lost === undefined) for (let r = 0; r < n; r++) out[r] = end[rows[r]!]! - begin[rows[r]!]!;
    else for (let r = 0; r < n; r++) out[r] = end[rows[r]!]! - begin[rows[r]!]! - lost[rows[r]!]!;
  }
}
