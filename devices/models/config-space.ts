import type { ConfigField } from '../device.ts';

/** A configuration space with named little-endian fields (VIRTIO 1.2, 2.5). */
export class ConfigSpace {
  readonly bytes: Uint8Array;
  private readonly fields: ReadonlyMap<string, ConfigField>;

  constructor(fields: readonly ConfigField[], length: number) {
    this.bytes = new Uint8Array(length);
    this.fields = new Map(fields.map((field) => [field.name, field]));
  }

  /** A number that is exact in a double; a field beyond the end of the space is left out. */
  set(name: string, value: number): void {
    const field = this.fields.get(name);
    if (field === undefined) throw new Error(`no field ${name}`);
    let rest = value;
    for (let i = 0; i < field.size; i++) {
      if (field.offset + i < this.bytes.length) this.bytes[field.offset + i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }
}
