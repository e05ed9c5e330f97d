/** Where a request stands. */
export const STATE = { FREE: 0, POPPED: 1, FILLED: 2, USED: 3, ANNOUNCED: 4 } as const;

/**
 * Requests in flight, as columns over reusable slots. Slots are found by the element's address in the device
 * model, which is unique while the request is in flight.
 */
export class RequestStore {
  state = new Uint8Array(64);
  elemLo = new Uint32Array(64);
  elemHi = new Uint32Array(64);
  queue = new Int32Array(64);
  notifySeq = new Float64Array(64);
  popped = new Float64Array(64);
  used = new Float64Array(64);
  bytes = new Uint32Array(64);
  type = new Uint8Array(64);
  depth = new Uint32Array(64);
  /** Slots below this have ever been used. */
  top = 0;
  private lastHit = 0;

  find(lo: number, hi: number): number {
    const hit = this.lastHit;
    if (
      this.state[hit] !== STATE.FREE &&
      this.elemLo[hit] === lo &&
      this.elemHi[hit] === hi &&
      this.live(hit)
    )
      return hit;
    for (let s = 0; s < this.top; s++) {
      if (this.elemLo[s] === lo && this.elemHi[s] === hi && this.live(s)) {
        this.lastHit = s;
        return s;
      }
    }
    return -1;
  }

  /** A free slot, made if need be. */
  take(): number {
    for (let s = 0; s < this.top; s++) if (this.state[s] === STATE.FREE) return s;
    if (this.top === this.state.length) this.grow();
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
    const f64 = (a: Float64Array): Float64Array<ArrayBuffer> => {
      const b = new Float64Array(n);
      b.set(a);
      return b;
    };
    this.state = u8(this.state);
    this.type = u8(this.type);
    this.elemLo = u32(this.elemLo);
    this.elemHi = u32(this.elemHi);
    this.bytes = u32(this.bytes);
    this.depth = u32(this.depth);
    const queue = new Int32Array(n);
    queue.set(this.queue);
    this.queue = queue;
    this.notifySeq = f64(this.notifySeq);
    this.popped = f64(this.popped);
    this.used = f64(this.used);
  }
}
