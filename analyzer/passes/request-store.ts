/** Where a request stands. */
export const STATE = { FREE: 0, POPPED: 1, FILLED: 2, USED: 3, ANNOUNCED: 4 } as const;

/**
 * Requests in flight, as columns over reusable slots. Slots are found by the element's address in the device
 * model, which is unique while the request is in flight.
 */
export class RequestStore {
  /** Read-only: `set` keeps the counts. */
  state = new Uint8Array(64);
  /** Halves of the address, signed (vq-table.ts). */
  elemLo = new Int32Array(64);
  elemHi = new Int32Array(64);
  queue = new Int32Array(64);
  notifySeq = new Float64Array(64);
  popped = new Float64Array(64);
  used = new Float64Array(64);
  bytes = new Uint32Array(64);
  type = new Uint8Array(64);
  depth = new Uint32Array(64);
  /** Slots below this have ever been used. */
  top = 0;
  /** Slots below `top` by STATE: searches end with the last one that can match. */
  private readonly counts = new Uint32Array(Object.keys(STATE).length);
  private lastHit = 0;

  set(slot: number, state: number): void {
    this.counts[this.state[slot]!]!--;
    this.counts[state]!++;
    this.state[slot] = state;
  }

  /** How many slots are in `state`. */
  count(state: number): number {
    return this.counts[state]!;
  }

  /** Requests under way or not given out yet. */
  get held(): number {
    return this.top - this.counts[STATE.FREE]!;
  }

  find(lo: number, hi: number): number {
    const hit = this.lastHit;
    if (
      this.state[hit] !== STATE.FREE &&
      this.elemLo[hit] === lo &&
      this.elemHi[hit] === hi &&
      this.live(hit)
    )
      return hit;
    let left = this.counts[STATE.POPPED]! + this.counts[STATE.FILLED]!;
    for (let s = 0; left > 0; s++) {
      if (!this.live(s)) continue;
      left--;
      if (this.elemLo[s] === lo && this.elemHi[s] === hi) {
        this.lastHit = s;
        return s;
      }
    }
    return -1;
  }

  /** A free slot, made if need be. */
  take(): number {
    if (this.counts[STATE.FREE]! > 0) {
      for (let s = 0; s < this.top; s++) if (this.state[s] === STATE.FREE) return s;
    }
    if (this.top === this.state.length) this.grow();
    this.counts[STATE.FREE]!++;
    return this.top++;
  }

  private live(s: number): boolean {
    return this.state[s] === STATE.POPPED || this.state[s] === STATE.FILLED;
  }

  private grow(): void {
    const n = this.state.length * 2;
    const u8 = (a: Uint8Array): Uint8Array<ArrayBuffer> => {
      const b = new Uint8Array(n);
      b.set(a);
      return b;
    };
    const u32 = (a: Uint32Array): Uint32Array<ArrayBuffer> => {
      const b = new Uint32Array(n);
      b.set(a);
      return b;
    };
    const i32 = (a: Int32Array): Int32Array<ArrayBuffer> => {
      const b = new Int32Array(n);
      b.set(a);
      return b;
    };
    const f64 = (a: Float64Array): Float64Array<ArrayBuffer> => {
      const b = new Float64Array(n);
      b.set(a);
      return b;
    };
    this.state = u8(this.state);
    this.type = u8(this.type);
    this.elemLo = i32(this.elemLo);
    this.elemHi = i32(this.elemHi);
    this.bytes = u32(this.bytes);
    this.depth = u32(this.depth);
    this.queue = i32(this.queue);
    this.notifySeq = f64(this.notifySeq);
    this.popped = f64(this.popped);
    this.used = f64(this.used);
  }
}
