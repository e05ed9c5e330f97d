import type { JsonValue } from '../../trace/json-check.ts';
import type { GuestMemory } from '../guest-memory.ts';
import type { Segment } from '../queue/chain.ts';
import { GPU_FORMATS, MOST_ENTRIES } from './gpu-format.ts';

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Whether a rectangle lies inside one of `width` x `height`. */
export function inside(r: Rect, width: number, height: number): boolean {
  return r.x + r.width <= width && r.y + r.height <= height;
}

export function intersection(a: Rect, b: Rect): Rect | undefined {
  const x = Math.max(a.x, b.x);
  const y = Math.max(a.y, b.y);
  const width = Math.min(a.x + a.width, b.x + b.width) - x;
  const height = Math.min(a.y + a.height, b.y + b.height) - y;
  return width > 0 && height > 0 ? { x, y, width, height } : undefined;
}

/** A 2D image of the device, 4 bytes a pixel, and the guest memory that stands behind it. */
export class GpuResource {
  readonly width: number;
  readonly height: number;
  readonly format: number;
  readonly pixels: Uint8Array;
  private backing: readonly Segment[] = [];
  /** Where each piece of the backing starts, in bytes from its beginning. */
  private starts = new Float64Array(0);

  constructor(width: number, height: number, format: number, pixels?: Uint8Array) {
    this.width = width;
    this.height = height;
    this.format = format;
    this.pixels = pixels ?? new Uint8Array(4 * width * height);
  }

  get backed(): boolean {
    return this.backing.length > 0;
  }

  attach(backing: readonly Segment[]): void {
    this.backing = backing;
    this.starts = new Float64Array(backing.length);
    let sum = 0;
    for (const [i, { length }] of backing.entries()) {
      this.starts[i] = sum;
      sum += length;
    }
  }

  /** TRANSFER_TO_HOST_2D: row h of `r` comes from `offset` + h rows; what lies beyond the backing stays as it is. */
  transfer(memory: GuestMemory, r: Rect, offset: number): void {
    const stride = 4 * this.width;
    if (r.x === 0 && r.width === this.width) {
      this.copy(memory, offset, r.y * stride, stride * r.height);
      return;
    }
    for (let h = 0; h < r.height; h++)
      this.copy(memory, offset + stride * h, (r.y + h) * stride + 4 * r.x, 4 * r.width);
  }

  private copy(memory: GuestMemory, from: number, to: number, length: number): void {
    const { backing, starts, pixels } = this;
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle]! <= from) low = middle;
      else high = middle;
    }
    let done = 0;
    for (let i = low; i < backing.length && done < length; i++) {
      const skip = from + done - starts[i]!;
      const take = Math.min(backing[i]!.length - skip, length - done);
      if (take <= 0) break;
      pixels.set(memory.view(backing[i]!.gpa + skip, take), to + done);
      done += take;
    }
  }

  /** A part of the image as red, green, blue, one byte each. */
  rgb(r: Rect): Uint8Array {
    const order = GPU_FORMATS[this.format]!;
    const found = new Uint8Array(3 * r.width * r.height);
    let to = 0;
    for (let y = 0; y < r.height; y++) {
      let from = 4 * ((r.y + y) * this.width + r.x);
      for (let x = 0; x < r.width; x++, from += 4)
        for (let c = 0; c < 3; c++) found[to++] = this.pixels[from + order[c]!]!;
    }
    return found;
  }

  save(): unknown {
    const { width, height, format, pixels, backing } = this;
    return { width, height, format, pixels, backing };
  }
}

/** A saved resource from an untrusted place; `most` = bytes of pixels that it may have. */
export function resourceFrom(saved: JsonValue, most: number): GpuResource {
  const width = saved.get('width').integer(1, 0xffff_ffff);
  const height = saved.get('height').integer(1, 0xffff_ffff);
  if (4 * width * height > most) saved.get('width').fail(`an image of at most ${most} bytes`);
  const format = saved.get('format').integer();
  if (GPU_FORMATS[format] === undefined) saved.get('format').fail('a known format');
  const bytes = saved.get('pixels');
  const pixels = bytes.value instanceof Uint8Array ? bytes.value : bytes.fail('bytes');
  if (pixels.length !== 4 * width * height) bytes.fail(`${4 * width * height} bytes`);
  const resource = new GpuResource(width, height, format, pixels);
  resource.attach(
    saved
      .get('backing')
      .list(
        (item) => ({ gpa: item.get('gpa').integer(), length: item.get('length').integer(1, 0xffff_ffff) }),
        MOST_ENTRIES,
      ),
  );
  return resource;
}
