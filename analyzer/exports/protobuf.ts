const utf8 = new TextEncoder();

/** Writes protocol-buffer fields one after the other (protobuf.dev/programming-guides/encoding). */
export class ProtoWriter {
  private bytes = new Uint8Array(1024);
  private view = new DataView(this.bytes.buffer);
  private length = 0;

  /** What was written; valid until the next write. */
  get written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  clear(): void {
    this.length = 0;
  }

  /** A whole number below 2^53. */
  varint(field: number, value: number): void {
    this.plain(field * 8);
    this.plain(value);
  }

  fixed64(field: number, value: number): void {
    this.plain(field * 8 + 1);
    this.room(8);
    this.view.setUint32(this.length, value >>> 0, true);
    this.view.setUint32(this.length + 4, Math.floor(value / 4_294_967_296), true);
    this.length += 8;
  }

  text(field: number, value: string): void {
    this.message(field, utf8.encode(value));
  }

  message(field: number, value: Uint8Array): void {
    this.plain(field * 8 + 2);
    this.plain(value.length);
    this.room(value.length);
    this.bytes.set(value, this.length);
    this.length += value.length;
  }

  private plain(value: number): void {
    this.room(10);
    let rest = value;
    while (rest >= 128) {
      this.bytes[this.length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.bytes[this.length++] = rest;
  }

  private room(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + more));
    larger.set(this.bytes);
    this.bytes = larger;
    this.view = new DataView(larger.buffer);
  }
}
