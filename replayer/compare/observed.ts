import { createHash, type Hash } from 'node:crypto';

/** Words gathered before they are hashed. */
const WORDS = 16_384;

/**
 * A hash over all that a replay observes: two replays with the same hash saw the same. Words are little endian on
 * every machine that Node runs on.
 */
export class Observed {
  private hash = createHash('sha256');
  private readonly words = new Uint32Array(WORDS);
  private readonly asBytes = new Uint8Array(this.words.buffer);
  private length = 0;

  pair(a: number, b: number): void {
    if (this.length + 2 > WORDS) this.drain();
    this.words[this.length++] = a;
    this.words[this.length++] = b;
  }

  bytes(bytes: Uint8Array): void {
    this.pair(bytes.length, 0);
    this.drain();
    this.hash.update(bytes);
  }

  private drain(): void {
    this.hash.update(this.asBytes.subarray(0, 4 * this.length));
    this.length = 0;
  }

  /** For restore(); holds nothing that later calls change. */
  save(): Hash {
    this.drain();
    return this.hash.copy();
  }

  restore(saved: Hash): void {
    this.hash = saved.copy();
    this.length = 0;
  }

  digest(): string {
    this.drain();
    return this.hash.digest('hex');
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
