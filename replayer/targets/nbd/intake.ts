/** Bytes as they came from a stream, taken in whole pieces. */
export class Intake {
  length = 0;
  private chunks: Buffer[] = [];

  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.length += chunk.length;
  }

  /** The next `length` bytes, or undefined while there are fewer. */
  take(length: number): Buffer | undefined {
    if (this.length < length) return undefined;
    let first = this.chunks[0] ?? Buffer.alloc(0);
    if (first.length < length) {
      first = Buffer.concat(this.chunks);
      this.chunks = [first];
    }
    this.length -= length;
    if (first.length === length) this.chunks.shift();
    else this.chunks[0] = first.subarray(length);
    return first.subarray(0, length);
  }
}
