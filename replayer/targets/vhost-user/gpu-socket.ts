import { TraceError } from '../../../trace/errors.ts';
import { GPU_OK_DISPLAY_INFO, GPU_OK_EDID, MOST_SCANOUTS } from '../../../devices/models/gpu-format.ts';
import type { Posix } from './posix.ts';

/** Requests of QEMU's docs/interop/vhost-user-gpu.rst; the back-end asks, whoever shows the screen answers. */
const GET_PROTOCOL_FEATURES = 1;
const GET_DISPLAY_INFO = 3;
const SCANOUT = 7;
const UPDATE = 8;
const DMABUF_UPDATE = 10;
const GET_EDID = 11;

const HEADER_BYTES = 12;
const FLAG_REPLY = 4;
const MOST_SIDE = 16384;
/** Largest message: an update of a whole screen. */
const MOST_BYTES = 20 + 4 * 8192 * 8192;

const NOTHING = Buffer.alloc(0);

export interface Screen {
  width: number;
  height: number;
  /** 3 bytes a pixel. */
  rgb: Uint8Array;
}

/** The display behind a vhost-user-gpu back-end: answers what it asks and keeps what scanout 0 shows. */
export class GpuSocket {
  readonly fd: number;
  /** For the back-end; to be closed once it is handed over. */
  readonly theirs: number;
  screen: Screen | undefined = undefined;
  private readonly posix: Posix;
  private readonly size: readonly [width: number, height: number];
  private readonly edid: Uint8Array | undefined;
  private readonly timeoutMs: number;
  /** The message that is coming in, and the bytes of it that are here. */
  private readonly head = Buffer.alloc(HEADER_BYTES);
  private payload = NOTHING;
  private have = 0;

  constructor(
    posix: Posix,
    options: { size: readonly [number, number]; edid?: Uint8Array; timeoutMs: number },
  ) {
    this.posix = posix;
    this.size = options.size;
    this.edid = options.edid;
    this.timeoutMs = options.timeoutMs;
    [this.fd, this.theirs] = posix.socketPair();
  }

  /** Takes and answers what has come in; returns when there is nothing more now. */
  serve(): void {
    while (this.posix.poll([this.fd], 0)[0]!.readable) {
      const { have } = this;
      const into =
        have < HEADER_BYTES ? this.head.subarray(have) : this.payload.subarray(have - HEADER_BYTES);
      const got = this.posix.receive(this.fd, into);
      if (got <= 0) return;
      this.have += got;
      if (this.have === HEADER_BYTES) this.begin();
      if (this.have === HEADER_BYTES + this.payload.length) this.end();
    }
  }

  private begin(): void {
    const size = this.head.readUInt32LE(8);
    if (size > MOST_BYTES)
      throw new TraceError('E_TARGET', `the gpu back-end sends a message of ${size} bytes`);
    this.payload = Buffer.alloc(size);
  }

  private end(): void {
    const { payload } = this;
    this.have = 0;
    this.payload = NOTHING;
    this.handle(this.head.readUInt32LE(0), payload);
  }

  private handle(request: number, payload: Buffer): void {
    switch (request) {
      case GET_PROTOCOL_FEATURES:
        this.answer(request, Buffer.alloc(8));
        return;
      case GET_DISPLAY_INFO:
        this.answer(request, this.displayInfo());
        return;
      case GET_EDID:
        this.answer(request, this.edidAnswer());
        return;
      case DMABUF_UPDATE:
        this.answer(request, Buffer.alloc(0));
        return;
      case SCANOUT:
        this.setScanout(payload);
        return;
      case UPDATE:
        this.update(payload);
        return;
      default:
      // The cursor, and what a later version may add: nothing that is compared.
    }
  }

  private answer(request: number, payload: Buffer): void {
    const head = Buffer.alloc(HEADER_BYTES);
    head.writeUInt32LE(request, 0);
    head.writeUInt32LE(FLAG_REPLY, 4);
    head.writeUInt32LE(payload.length, 8);
    this.posix.send(this.fd, Buffer.concat([head, payload]), [], this.timeoutMs);
  }

  /** struct virtio_gpu_resp_display_info: header of 24 bytes, then 16 times u32 x, y, width, height, enabled, flags. */
  private displayInfo(): Buffer {
    const info = Buffer.alloc(24 + 24 * MOST_SCANOUTS);
    info.writeUInt32LE(GPU_OK_DISPLAY_INFO, 0);
    info.writeUInt32LE(this.size[0], 24 + 8);
    info.writeUInt32LE(this.size[1], 24 + 12);
    info.writeUInt32LE(1, 24 + 16);
    return info;
  }

  /** struct virtio_gpu_resp_edid: header of 24 bytes, u32 size, u32 padding, 1024 bytes. */
  private edidAnswer(): Buffer {
    const answer = Buffer.alloc(24 + 8 + 1024);
    answer.writeUInt32LE(GPU_OK_EDID, 0);
    const edid = this.edid ?? new Uint8Array(0);
    answer.writeUInt32LE(Math.min(edid.length, 1024), 24);
    answer.set(edid.subarray(0, 1024), 32);
    return answer;
  }

  private setScanout(payload: Buffer): void {
    if (payload.length < 12 || payload.readUInt32LE(0) !== 0) return;
    const width = payload.readUInt32LE(4);
    const height = payload.readUInt32LE(8);
    if (width > MOST_SIDE || height > MOST_SIDE)
      throw new TraceError('E_TARGET', `the gpu back-end shows a screen of ${width} x ${height}`);
    this.screen =
      width === 0 || height === 0 ? undefined : { width, height, rgb: new Uint8Array(3 * width * height) };
  }

  /** Part of the screen as rows of x8r8g8b8, little endian: bytes blue, green, red, unused. */
  private update(payload: Buffer): void {
    const { screen } = this;
    if (screen === undefined || payload.length < 20 || payload.readUInt32LE(0) !== 0) return;
    const [x, y, width, height] = [4, 8, 12, 16].map((at) => payload.readUInt32LE(at)) as Rect;
    const fits = x + width <= screen.width && y + height <= screen.height;
    if (!fits || payload.length < 20 + 4 * width * height)
      throw new TraceError('E_TARGET', 'the gpu back-end updates a part that is not on the screen', {
        expected: `a part of ${screen.width} x ${screen.height}`,
        got: `${width} x ${height} at ${x}, ${y} in ${payload.length} bytes`,
      });
    let from = 20;
    for (let row = 0; row < height; row++) {
      let to = 3 * ((y + row) * screen.width + x);
      for (let i = 0; i < width; i++, from += 4, to += 3) {
        screen.rgb[to] = payload[from + 2]!;
        screen.rgb[to + 1] = payload[from + 1]!;
        screen.rgb[to + 2] = payload[from]!;
      }
    }
  }

  close(): void {
    this.posix.close(this.fd);
  }
}

type Rect = [x: number, y: number, width: number, height: number];
