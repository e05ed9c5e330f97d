/**
 * What a pass reads: the columns of EventBatch, whoever holds them. The reader of traces gives views into the
 * bytes of a record batch in this shape; `length` rows of each column are valid, the arrays may be longer.
 */
export interface EventColumns {
  readonly length: number;
  readonly ts: Float64Array;
  readonly kind: Uint16Array;
  readonly cpu: Uint16Array;
  readonly domid: Uint16Array;
  readonly vcpu: Uint16Array;
  readonly pid: Int32Array;
  readonly addr: Uint32Array;
  readonly data: Uint32Array;
  readonly arg0: Uint32Array;
  readonly arg1: Uint32Array;
  readonly arg2: Uint32Array;
  readonly arg3: Uint32Array;
}

/**
 * Events as a structure of arrays. One shape for every source keeps the passes to plain typed-array loops;
 * what each column means for a kind of event is stated beside the kind in events.ts.
 *
 * `ts` is in the source's own clock units since the source's epoch (manifest: sources[].clock), exact in a
 * float64 for 2^53 units; NaN where the source holds an order but no time. `addr` and `data` are 64-bit
 * values as two u32 halves, low first: element 2i and 2i+1.
 */
export class EventBatch implements EventColumns {
  readonly capacity: number;
  length = 0;
  readonly ts: Float64Array;
  readonly kind: Uint16Array;
  readonly cpu: Uint16Array;
  readonly domid: Uint16Array;
  readonly vcpu: Uint16Array;
  readonly pid: Int32Array;
  readonly addr: Uint32Array;
  readonly data: Uint32Array;
  readonly arg0: Uint32Array;
  readonly arg1: Uint32Array;
  readonly arg2: Uint32Array;
  readonly arg3: Uint32Array;

  constructor(capacity: number = BATCH_ROWS) {
    this.capacity = capacity;
    this.ts = new Float64Array(capacity);
    this.kind = new Uint16Array(capacity);
    this.cpu = new Uint16Array(capacity);
    this.domid = new Uint16Array(capacity);
    this.vcpu = new Uint16Array(capacity);
    this.pid = new Int32Array(capacity);
    this.addr = new Uint32Array(capacity * 2);
    this.data = new Uint32Array(capacity * 2);
    this.arg0 = new Uint32Array(capacity);
    this.arg1 = new Uint32Array(capacity);
    this.arg2 = new Uint32Array(capacity);
    this.arg3 = new Uint32Array(capacity);
  }

  get full(): boolean {
    return this.length >= this.capacity;
  }

  clear(): void {
    this.length = 0;
  }

  /** Appends one row with every payload column zero, and gives its index. The caller checks `full` first. */
  push(ts: number, kind: number, cpu: number, domid: number, vcpu: number, pid: number): number {
    const i = this.length++;
    this.ts[i] = ts;
    this.kind[i] = kind;
    this.cpu[i] = cpu;
    this.domid[i] = domid;
    this.vcpu[i] = vcpu;
    this.pid[i] = pid;
    this.addr[2 * i] = 0;
    this.addr[2 * i + 1] = 0;
    this.data[2 * i] = 0;
    this.data[2 * i + 1] = 0;
    this.arg0[i] = 0;
    this.arg1[i] = 0;
    this.arg2[i] = 0;
    this.arg3[i] = 0;
    return i;
  }
}

/** Rows a batch: large enough that per-batch costs vanish, small enough to stay in a core's L2 per column. */
export const BATCH_ROWS = 65_536;

/** The two halves of a 64-bit column value as a number; exact up to 2^53. */
export const TWO_32 = 4_294_967_296;
