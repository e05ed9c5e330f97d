/**
 * A bounds-checked reader of flatbuffers, as little of them as Arrow's metadata needs. Nothing is trusted:
 * every offset is checked against the buffer before it is followed, so hostile bytes end in BadFlatbuffer and
 * never in a wrong read. Layout: FlatBuffers internals (flatbuffers.dev/internals), all little endian.
 */
export class BadFlatbuffer extends Error {
  override readonly name = 'BadFlatbuffer';
}

export class Flat {
  private readonly view: DataView;
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(at: number): number {
    this.need(at, 1);
    return this.view.getUint8(at);
  }

  i16(at: number): number {
    this.need(at, 2);
    return this.view.getInt16(at, true);
  }

  i32(at: number): number {
    this.need(at, 4);
    return this.view.getInt32(at, true);
  }

  u32(at: number): number {
    this.need(at, 4);
    return this.view.getUint32(at, true);
  }

  /** A 64-bit count or size; anything negative or beyond 2^53 is no size of ours. */
  size64(at: number, what: string): number {
    this.need(at, 8);
    const value = this.view.getUint32(at, true) + this.view.getInt32(at + 4, true) * 4_294_967_296;
    if (value < 0 || value > Number.MAX_SAFE_INTEGER) throw new BadFlatbuffer(`${what} is ${value}`);
    return value;
  }

  /** Follows the offset stored at `at`. */
  indirect(at: number): number {
    const offset = this.u32(at);
    if (offset === 0) throw new BadFlatbuffer(`an offset of 0 at ${at}`);
    const target = at + offset;
    this.need(target, 4);
    return target;
  }

  /** Position of field `index` of the table at `table`; 0 = the field has its default. */
  field(table: number, index: number): number {
    const vtable = table - this.i32(table);
    this.need(vtable, 4);
    const bytes = this.view.getUint16(vtable, true);
    const slot = 4 + 2 * index;
    if (slot + 2 > bytes) return 0;
    this.need(vtable + slot, 2);
    const offset = this.view.getUint16(vtable + slot, true);
    return offset === 0 ? 0 : table + offset;
  }

  /** Table that field `index` refers to; 0 = absent. */
  table(table: number, index: number): number {
    const at = this.field(table, index);
    return at === 0 ? 0 : this.indirect(at);
  }

  /** Vector that field `index` refers to: place of its first element and their number, within the buffer. */
  vector(table: number, index: number, elementBytes: number): { at: number; count: number } {
    const start = this.table(table, index);
    if (start === 0) return { at: 0, count: 0 };
    const count = this.u32(start);
    this.need(start + 4, count * elementBytes);
    return { at: start + 4, count };
  }

  text(table: number, index: number): string {
    const { at, count } = this.vector(table, index, 1);
    return utf8.decode(this.bytes.subarray(at, at + count));
  }

  private need(at: number, count: number): void {
    if (at < 0 || at + count > this.bytes.byteLength) {
      throw new BadFlatbuffer(`metadata of ${this.bytes.byteLength} bytes, ${count} wanted at ${at}`);
    }
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: false });
