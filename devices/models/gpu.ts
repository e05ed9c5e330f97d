import type { JsonValue } from '../../trace/json-check.ts';
import { forEachChain, type DeviceHost, type DeviceModel } from '../device.ts';
import { features, NO_FEATURES } from '../features.ts';
import { GuestFault } from '../guest-memory.ts';
import { gather, scatter, type Chain, type Segment } from '../queue/chain.ts';
import { ConfigSpace } from './config-space.ts';
import { simpleEdid } from './edid.ts';
import {
  CURSOR_SIDE,
  GPU_ATTACH_BACKING,
  GPU_COMMAND_BYTES,
  GPU_CONFIG,
  GPU_CONFIG_BYTES,
  GPU_CONTROL,
  GPU_CURSOR,
  GPU_CURSOR_BYTES,
  GPU_DETACH_BACKING,
  GPU_DEVICE_ID,
  GPU_ENTRY_BYTES,
  GPU_ERR_INVALID_PARAMETER,
  GPU_ERR_INVALID_RESOURCE_ID,
  GPU_ERR_INVALID_SCANOUT_ID,
  GPU_ERR_OUT_OF_MEMORY,
  GPU_ERR_UNSPEC,
  GPU_EVENT_DISPLAY,
  GPU_FLAG_FENCE,
  GPU_FORMATS,
  GPU_F_EDID,
  GPU_GET_DISPLAY_INFO,
  GPU_GET_EDID,
  GPU_HEADER_BYTES,
  GPU_MOVE_CURSOR,
  GPU_OK_DISPLAY_INFO,
  GPU_OK_EDID,
  GPU_OK_NODATA,
  GPU_RESOURCE_CREATE_2D,
  GPU_RESOURCE_FLUSH,
  GPU_RESOURCE_UNREF,
  GPU_SET_SCANOUT,
  GPU_TRANSFER_TO_HOST_2D,
  GPU_UPDATE_CURSOR,
  MOST_ENTRIES,
  MOST_SCANOUTS,
} from './gpu-format.ts';
import { GpuResource, inside, intersection, resourceFrom, type Rect } from './gpu-resource.ts';

/** Whoever shows the screen. Everything is optional: the image can be asked for at any time. */
export interface GpuBackend {
  /** The driver finished drawing a part of a scanout, in the scanout's own coordinates. */
  flushed?(scanout: number, part: Rect): void;
  cursorMoved?(scanout: number, x: number, y: number): void;
}

export interface GpuOptions {
  backend?: GpuBackend;
  /** Size of the display; QEMU's 1280 x 800 unless given. */
  width?: number;
  height?: number;
  scanouts?: number;
  /** What GET_EDID gives, at most 1024 bytes. */
  edid?: Uint8Array;
}

interface Scanout extends Rect {
  /** 0 = nothing is shown. */
  resource: number;
}

interface Cursor {
  x: number;
  y: number;
  hotX: number;
  hotY: number;
  resource: number;
}

/** Most bytes of all images together; QEMU's max_hostmem. */
const MOST_PIXEL_BYTES = 256 << 20;
/** Smallest side of a scanout, as QEMU. */
const LEAST_SIDE = 16;
const OFF: Scanout = { resource: 0, x: 0, y: 0, width: 0, height: 0 };

/** virtio-gpu in 2D, VIRTIO 1.2, 5.7: images, their backing in guest memory, transfer, scanouts, cursor, EDID. */
export class GpuDevice implements DeviceModel {
  readonly deviceId = GPU_DEVICE_ID;
  readonly name = 'gpu';
  readonly configFields = GPU_CONFIG;
  readonly offered = features(GPU_F_EDID);
  readonly legacyOffered = NO_FEATURES;
  readonly queueSizes = [64, 16];
  private readonly backend: GpuBackend;
  private readonly edid: Uint8Array;
  private readonly space = new ConfigSpace(GPU_CONFIG, GPU_CONFIG_BYTES);
  private display: { width: number; height: number };
  private events = 0;
  private readonly resources = new Map<number, GpuResource>();
  private pixelBytes = 0;
  private scanouts: Scanout[];
  private cursors: Cursor[];
  private host!: DeviceHost;

  constructor(options: GpuOptions = {}) {
    const { width = 1280, height = 800, scanouts = 1 } = options;
    if (scanouts < 1 || scanouts > MOST_SCANOUTS) throw new RangeError(`${scanouts} scanouts`);
    this.backend = options.backend ?? {};
    this.edid = (options.edid ?? simpleEdid(width, height)).subarray(0, 1024);
    this.display = { width, height };
    this.scanouts = Array.from({ length: scanouts }, () => ({ ...OFF }));
    this.cursors = Array.from({ length: scanouts }, () => ({ x: 0, y: 0, hotX: 0, hotY: 0, resource: 0 }));
    this.space.set('num_scanouts', scanouts);
  }

  attach(host: DeviceHost): void {
    this.host = host;
  }

  config(): Uint8Array {
    return this.space.bytes;
  }

  /** events_clear takes events away (5.7.4). */
  configWritten(offset: number, bytes: Uint8Array): void {
    for (const [i, byte] of bytes.entries()) {
      const at = offset + i - 4;
      if (at >= 0 && at < 4) this.events = (this.events & ~(byte << (8 * at))) >>> 0;
    }
    this.space.set('events_read', this.events);
  }

  /** The display has another size: the driver is told, and may ask for it. */
  resize(width: number, height: number): void {
    this.display = { width, height };
    this.events |= GPU_EVENT_DISPLAY;
    this.space.set('events_read', this.events);
    this.host.run(() => {
      this.host.configChanged();
    });
  }

  /** What a scanout shows, 3 bytes a pixel; undefined while it is off. */
  screen(scanout = 0): { width: number; height: number; rgb: Uint8Array } | undefined {
    const shown = this.scanouts[scanout];
    const resource = shown && this.resources.get(shown.resource);
    if (resource === undefined || shown === undefined) return undefined;
    return { width: shown.width, height: shown.height, rgb: resource.rgb(shown) };
  }

  /** The cursor of a scanout, 64 x 64 pixels of 4 bytes if it has an image. */
  cursor(scanout = 0): (Cursor & { pixels?: Uint8Array }) | undefined {
    const cursor = this.cursors[scanout];
    if (cursor === undefined) return undefined;
    const image = this.resources.get(cursor.resource);
    if (image?.width !== CURSOR_SIDE || image.height !== CURSOR_SIDE) return { ...cursor };
    return { ...cursor, pixels: image.pixels };
  }

  notify(index: number): void {
    const queue = this.host.queue(index);
    if (queue === undefined) return;
    forEachChain(queue, (chain) => {
      const written = index === GPU_CURSOR ? this.moveCursor(chain) : this.control(chain);
      queue.push([chain], [written]);
      this.host.interrupt(index === GPU_CURSOR ? GPU_CURSOR : GPU_CONTROL);
    });
  }

  /** Carries a command out and writes the response; gives the bytes written. */
  private control(chain: Chain): number {
    const { memory } = this.host;
    const command = new Uint8Array(56);
    const got = gather(memory, chain.out, 0, command);
    const words = new DataView(command.buffer);
    const type = words.getUint32(0, true);
    const needed = GPU_COMMAND_BYTES[type];
    let response: Uint8Array | number = GPU_ERR_UNSPEC;
    if (needed !== undefined && got >= needed) response = this.execute(type, words, chain);
    const bytes = typeof response === 'number' ? new Uint8Array(GPU_HEADER_BYTES) : response;
    const header = new DataView(bytes.buffer);
    if (typeof response === 'number') header.setUint32(0, response, true);
    if (got >= GPU_HEADER_BYTES && (words.getUint32(4, true) & GPU_FLAG_FENCE) !== 0) {
      header.setUint32(4, GPU_FLAG_FENCE, true);
      // Fence id and context, as they came (5.7.6.7).
      bytes.set(command.subarray(8, 20), 8);
    }
    return scatter(memory, chain.in, 0, bytes);
  }

  /** A response code, or a whole response without its fence. */
  private execute(type: number, words: DataView, chain: Chain): number | Uint8Array {
    const u32 = (at: number): number => words.getUint32(at, true);
    const rect = (): Rect => ({ x: u32(24), y: u32(28), width: u32(32), height: u32(36) });
    switch (type) {
      case GPU_GET_DISPLAY_INFO:
        return this.displayInfo();
      case GPU_GET_EDID:
        return u32(24) < this.scanouts.length ? this.edidResponse() : GPU_ERR_INVALID_PARAMETER;
      case GPU_RESOURCE_CREATE_2D:
        return this.create(u32(24), u32(28), u32(32), u32(36));
      case GPU_RESOURCE_UNREF:
        return this.unref(u32(24));
      case GPU_SET_SCANOUT:
        return this.setScanout(rect(), u32(40), u32(44));
      case GPU_RESOURCE_FLUSH:
        return this.flush(rect(), u32(40));
      case GPU_TRANSFER_TO_HOST_2D:
        return this.transfer(rect(), u32(40) + u32(44) * 0x1_0000_0000, u32(48));
      case GPU_ATTACH_BACKING:
        return this.attachBacking(chain, u32(24), u32(28));
      case GPU_DETACH_BACKING: {
        const resource = this.backed(u32(24));
        if (typeof resource === 'number') return resource;
        resource.attach([]);
        return GPU_OK_NODATA;
      }
      default:
        return GPU_ERR_UNSPEC;
    }
  }

  private displayInfo(): Uint8Array {
    const bytes = new Uint8Array(GPU_HEADER_BYTES + MOST_SCANOUTS * 24);
    const words = new DataView(bytes.buffer);
    words.setUint32(0, GPU_OK_DISPLAY_INFO, true);
    // Only the first display is plugged.
    words.setUint32(GPU_HEADER_BYTES + 8, this.display.width, true);
    words.setUint32(GPU_HEADER_BYTES + 12, this.display.height, true);
    words.setUint32(GPU_HEADER_BYTES + 16, 1, true);
    return bytes;
  }

  private edidResponse(): Uint8Array {
    const bytes = new Uint8Array(GPU_HEADER_BYTES + 8 + 1024);
    const words = new DataView(bytes.buffer);
    words.setUint32(0, GPU_OK_EDID, true);
    words.setUint32(GPU_HEADER_BYTES, this.edid.length, true);
    bytes.set(this.edid, GPU_HEADER_BYTES + 8);
    return bytes;
  }

  private create(id: number, format: number, width: number, height: number): number {
    if (id === 0 || this.resources.has(id)) return GPU_ERR_INVALID_RESOURCE_ID;
    if (GPU_FORMATS[format] === undefined || width === 0 || height === 0) return GPU_ERR_INVALID_PARAMETER;
    const bytes = 4 * width * height;
    if (this.pixelBytes + bytes >= MOST_PIXEL_BYTES) return GPU_ERR_OUT_OF_MEMORY;
    this.resources.set(id, new GpuResource(width, height, format));
    this.pixelBytes += bytes;
    return GPU_OK_NODATA;
  }

  private unref(id: number): number {
    const resource = this.resources.get(id);
    if (resource === undefined) return GPU_ERR_INVALID_RESOURCE_ID;
    for (const scanout of this.scanouts) if (scanout.resource === id) Object.assign(scanout, OFF);
    this.resources.delete(id);
    this.pixelBytes -= resource.pixels.length;
    return GPU_OK_NODATA;
  }

  /** The resource, which must have backing; else the response code. */
  private backed(id: number): GpuResource | number {
    const resource = this.resources.get(id);
    if (resource === undefined) return GPU_ERR_INVALID_RESOURCE_ID;
    return resource.backed ? resource : GPU_ERR_UNSPEC;
  }

  private setScanout(r: Rect, index: number, id: number): number {
    const scanout = this.scanouts[index];
    if (scanout === undefined) return GPU_ERR_INVALID_SCANOUT_ID;
    if (id === 0) {
      Object.assign(scanout, OFF);
      return GPU_OK_NODATA;
    }
    const resource = this.backed(id);
    if (typeof resource === 'number') return resource;
    if (r.width < LEAST_SIDE || r.height < LEAST_SIDE || !inside(r, resource.width, resource.height))
      return GPU_ERR_INVALID_PARAMETER;
    this.scanouts[index] = { resource: id, ...r };
    return GPU_OK_NODATA;
  }

  private flush(r: Rect, id: number): number {
    const resource = this.resources.get(id);
    if (resource === undefined) return GPU_ERR_INVALID_RESOURCE_ID;
    if (!inside(r, resource.width, resource.height)) return GPU_ERR_INVALID_PARAMETER;
    for (const [index, scanout] of this.scanouts.entries()) {
      const part = scanout.resource === id ? intersection(r, scanout) : undefined;
      if (part !== undefined)
        this.backend.flushed?.(index, { ...part, x: part.x - scanout.x, y: part.y - scanout.y });
    }
    return GPU_OK_NODATA;
  }

  private transfer(r: Rect, offset: number, id: number): number {
    const resource = this.backed(id);
    if (typeof resource === 'number') return resource;
    if (!inside(r, resource.width, resource.height)) return GPU_ERR_INVALID_PARAMETER;
    resource.transfer(this.host.memory, r, offset);
    return GPU_OK_NODATA;
  }

  private attachBacking(chain: Chain, id: number, count: number): number {
    const resource = this.resources.get(id);
    if (resource === undefined) return GPU_ERR_INVALID_RESOURCE_ID;
    if (resource.backed || count === 0 || count > MOST_ENTRIES) return GPU_ERR_UNSPEC;
    const table = new Uint8Array(GPU_ENTRY_BYTES * count);
    if (gather(this.host.memory, chain.out, 32, table) < table.length) return GPU_ERR_UNSPEC;
    const words = new DataView(table.buffer);
    const backing: Segment[] = [];
    for (let at = 0; at < table.length; at += GPU_ENTRY_BYTES) {
      const gpa = words.getUint32(at, true) + words.getUint32(at + 4, true) * 0x1_0000_0000;
      const length = words.getUint32(at + 8, true);
      if (length === 0 || !this.isRam(gpa, length)) return GPU_ERR_UNSPEC;
      backing.push({ gpa, length });
    }
    resource.attach(backing);
    return GPU_OK_NODATA;
  }

  /** A bad backing is an error of the command, not of the device (5.7.6.8). */
  private isRam(gpa: number, length: number): boolean {
    try {
      this.host.memory.view(gpa, length);
      return true;
    } catch (error) {
      if (error instanceof GuestFault) return false;
      throw error;
    }
  }

  /** Cursor commands have no answer, whatever they say (5.7.6.10). */
  private moveCursor(chain: Chain): number {
    const bytes = new Uint8Array(GPU_CURSOR_BYTES);
    if (gather(this.host.memory, chain.out, 0, bytes) < bytes.length) return 0;
    const words = new DataView(bytes.buffer);
    const type = words.getUint32(0, true);
    const index = words.getUint32(24, true);
    const cursor = this.cursors[index];
    if (cursor === undefined || (type !== GPU_UPDATE_CURSOR && type !== GPU_MOVE_CURSOR)) return 0;
    cursor.x = words.getUint32(28, true);
    cursor.y = words.getUint32(32, true);
    if (type === GPU_UPDATE_CURSOR) {
      cursor.resource = words.getUint32(40, true);
      cursor.hotX = words.getUint32(44, true);
      cursor.hotY = words.getUint32(48, true);
    }
    this.backend.cursorMoved?.(index, cursor.x, cursor.y);
    return 0;
  }

  reset(): void {
    this.resources.clear();
    this.pixelBytes = 0;
    for (const scanout of this.scanouts) Object.assign(scanout, OFF);
    for (const cursor of this.cursors) Object.assign(cursor, { x: 0, y: 0, hotX: 0, hotY: 0, resource: 0 });
  }

  /** Pixels are byte arrays in it; all else is numbers and lists. */
  save(): unknown {
    const { display, events, scanouts, cursors } = this;
    const resources = [...this.resources].map(([id, resource]) => ({ id, image: resource.save() }));
    return { display, events, scanouts, cursors, resources };
  }

  restore(saved: JsonValue): void {
    const word = (value: JsonValue, key: string): number => value.get(key).integer(0, 0xffff_ffff);
    const rect = (value: JsonValue): Rect => ({
      x: word(value, 'x'),
      y: word(value, 'y'),
      width: word(value, 'width'),
      height: word(value, 'height'),
    });
    const most = this.scanouts.length;
    let left = MOST_PIXEL_BYTES;
    const resources = saved.get('resources').list((item) => {
      const image = resourceFrom(item.get('image'), left);
      left -= image.pixels.length;
      return [item.get('id').integer(1, 0xffff_ffff), image] as const;
    });
    const images = new Map(resources);
    const scanouts = saved.get('scanouts').list((item) => {
      const scanout = { resource: word(item, 'resource'), ...rect(item) };
      const image = images.get(scanout.resource);
      if (scanout.resource !== 0 && (image === undefined || !inside(scanout, image.width, image.height)))
        item.fail('a part of one of the images');
      return scanout;
    }, most);
    const cursors = saved.get('cursors').list(
      (item) => ({
        x: word(item, 'x'),
        y: word(item, 'y'),
        hotX: word(item, 'hotX'),
        hotY: word(item, 'hotY'),
        resource: word(item, 'resource'),
      }),
      most,
    );
    if (scanouts.length !== most || cursors.length !== most) saved.get('scanouts').fail(`${most} scanouts`);
    const display = saved.get('display');
    const size = { width: word(display, 'width'), height: word(display, 'height') };
    this.events = word(saved, 'events');
    this.space.set('events_read', this.events);
    this.display = size;
    this.scanouts = scanouts;
    this.cursors = cursors;
    this.resources.clear();
    for (const [id, image] of images) this.resources.set(id, image);
    this.pixelBytes = MOST_PIXEL_BYTES - left;
  }
}
