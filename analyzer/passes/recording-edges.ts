/** What the sources hold of one ioreq, one bit each. */
export const SEEN = { IRQ: 1, ANSWER: 2, OFFLINE: 4, SEND: 8, DONE: 16 } as const;
const BITS = 5;

/**
 * Ioreqs that a source cannot hold because its records began or ended meanwhile. Sources are switched on and off one
 * after the other, and the guest need not be idle then: such an ioreq is no disagreement between the sources.
 *
 * An ioreq is at an edge if it lies outside of the time that the other side's records cover, or if it is the first or
 * the last of its vCPU: at any instant only one ioreq a vCPU is under way.
 */
export class RecordingEdges {
  /** Ioreqs at an edge that not all sources hold. */
  ioreqs = 0;
  /** Reads of InterruptStatus outside of Xen's records: their interrupts are not in there either. */
  statusReads = 0;
  /** Of those, by bit number of SEEN: how many that source does not hold. */
  private readonly missing = new Float64Array(BITS);
  private readonly shown: number;
  /** What is missing of the first and of the last ioreq of each vCPU that lie inside; -1 before the first. */
  private readonly first: Int8Array;
  private readonly last: Int8Array;
  /** Of those outside: of the last one before the first inside, and of the first one after it. */
  private readonly before: Int8Array;
  private readonly after: Int8Array;

  /** `shown`: SEEN bits of the sources that this trace has. */
  constructor(vcpus: number, shown: number) {
    this.shown = shown;
    this.first = new Int8Array(vcpus).fill(-1);
    this.last = new Int8Array(vcpus).fill(-1);
    this.before = new Int8Array(vcpus);
    this.after = new Int8Array(vcpus);
  }

  /**
   * One ioreq, in the order of each vCPU: the SEEN bits that are known of it, and whether it lies outside a side's
   * records. Gives true if it is at the edge where they begin.
   */
  add(vcpu: number, seen: number, outside: boolean): boolean {
    const missing = this.shown & ~seen;
    if (outside) {
      this.count(missing);
      if (this.first[vcpu]! < 0) this.before[vcpu] = missing;
      else if (this.after[vcpu] === 0) this.after[vcpu] = missing;
      return true;
    }
    if (this.first[vcpu]! >= 0) {
      this.last[vcpu] = missing;
      return false;
    }
    this.first[vcpu] = missing;
    this.last[vcpu] = 0;
    this.count(missing);
    return true;
  }

  /** What is missing of the ioreq that was added last has another reason. */
  explained(vcpu: number, bits: number): void {
    if (this.last[vcpu]! > 0) this.last[vcpu] = this.last[vcpu]! & ~bits;
  }

  /**
   * The end of the trace. `open`: SEEN bits of the ioreq that is still under way on `vcpu`, 0 if none is;
   * `begunBefore`: Xen's first record of the vCPU is the end of an ioreq.
   */
  finish(vcpu: number, open: number, begunBefore: boolean): void {
    const last = Math.max(0, this.last[vcpu]!);
    this.count(last);
    // Over on one side, what is open or was open on the other side is the same ioreq.
    if (open !== 0 && !this.heldOf(last, open) && !this.heldOf(this.after[vcpu]!, open))
      this.count(this.shown & ~open);
    if (!begunBefore) return;
    const first = Math.max(0, this.first[vcpu]!);
    if (!this.heldOf(first, SEEN.DONE) && !this.heldOf(this.before[vcpu]!, SEEN.DONE))
      this.count(this.shown & ~SEEN.DONE);
  }

  /** Takes back that `bits` were missing of an ioreq, if they were. */
  private heldOf(missing: number, bits: number): boolean {
    if ((missing & bits) !== bits) return false;
    for (let bit = 0; bit < BITS; bit++) if ((bits & (1 << bit)) !== 0) this.missing[bit]!--;
    return true;
  }

  /** How many ioreqs at the edges the source of one SEEN bit does not hold. */
  notHeld(bit: number): number {
    return this.missing[Math.log2(bit)]!;
  }

  private count(missing: number): void {
    if (missing === 0) return;
    this.ioreqs++;
    for (let bit = 0; bit < BITS; bit++) if ((missing & (1 << bit)) !== 0) this.missing[bit]!++;
  }
}
