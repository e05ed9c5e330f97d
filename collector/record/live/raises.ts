const DEPTH = 32;

/**
 * Times at which a device's line was raised and that no run of the guest's handler has taken yet, by device. Of more
 * than DEPTH the newest are kept beside the first.
 */
export class Raises {
  private readonly times: Float64Array;
  private readonly count: Uint8Array;

  constructor(devices: number) {
    this.times = new Float64Array(devices * DEPTH);
    this.count = new Uint8Array(devices);
  }

  add(device: number, ts: number): void {
    const at = device * DEPTH;
    // The first raise is where a latency starts: what gives way is the second.
    if (this.count[device] === DEPTH) this.times.copyWithin(at + 1, at + 2, at + this.count[device]--);
    this.times[at + this.count[device]!++] = ts;
  }

  /** Takes every raise up to `ts` and gives the first of them; NaN if there was none. */
  take(device: number, ts: number): number {
    const at = device * DEPTH;
    const count = this.count[device]!;
    let n = 0;
    while (n < count && this.times[at + n]! <= ts) n++;
    if (n === 0) return NaN;
    const first = this.times[at]!;
    this.times.copyWithin(at, at + n, at + count);
    this.count[device] = count - n;
    return first;
  }

  /** The first raise that waits; NaN if none does. */
  first(device: number): number {
    return this.count[device] === 0 ? NaN : this.times[device * DEPTH]!;
  }

  clear(): void {
    this.count.fill(0);
  }
}
