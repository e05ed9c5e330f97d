import { TraceError } from '../../../trace/errors.ts';
import { CPU_CHANGE_BYTES, CPU_CHANGE_HEADER, MAX_CPUS } from '../../sources/xentrace/windows.ts';

/** The largest window believed: Xen's trace buffers are at most 256 MiB in all, xentrace's own default 128 KiB. */
const MAX_WINDOW_BYTES = 256 * 2 ** 20;

/** Called for each whole window, its cpu_change record included; `window` is the caller's to keep. */
export type OnWindow = (cpu: number, window: Uint8Array) => void;

/**
 * Cuts xentrace's output, as it comes in pieces of any length, into windows: a cpu_change record and the records of
 * that CPU (tools/xentrace/xentrace.c, write_buffer). Each decodes on its own.
 */
export class WindowCutter {
  /** Why nothing is cut any more: where a cpu_change record should be is something else. */
  error: TraceError | undefined;
  /** Bytes of the window that has begun. */
  private pending: Uint8Array[] = [];
  private pendingBytes = 0;
  private readonly head = new Uint8Array(CPU_CHANGE_BYTES);
  private readonly view = new DataView(this.head.buffer);
  /** Length of the window that has begun; undefined until its cpu_change record is there. */
  private windowBytes: number | undefined;
  private offset = 0;
  private readonly name: string;

  constructor(name = 'xentrace') {
    this.name = name;
  }

  /** Bytes that wait for the rest of their window. */
  get waiting(): number {
    return this.pendingBytes;
  }

  /** `bytes` must not be written into afterwards. */
  push(bytes: Uint8Array, onWindow: OnWindow): void {
    let at = 0;
    while (at < bytes.length && this.error === undefined) {
      const want = (this.windowBytes ?? CPU_CHANGE_BYTES) - this.pendingBytes;
      const part = bytes.subarray(at, at + want);
      if (this.windowBytes === undefined) this.head.set(part, this.pendingBytes);
      this.pending.push(part);
      this.pendingBytes += part.length;
      at += part.length;
      if (part.length < want) return;
      if (this.windowBytes === undefined) this.begin();
      if (this.pendingBytes === this.windowBytes) this.end(onWindow);
    }
  }

  private begin(): void {
    const header = this.view.getUint32(0, true);
    const cpu = this.view.getUint32(4, true);
    const size = this.view.getUint32(8, true);
    const source = this.name;
    if (header !== CPU_CHANGE_HEADER) {
      const got = `0x${header.toString(16)}`;
      this.fail('no cpu_change record where a window ends', { source, expected: '0x2001f003', got });
    } else if (cpu >= MAX_CPUS) {
      this.fail('cpu_change of an impossible CPU', { source, expected: `below ${MAX_CPUS}`, got: `${cpu}` });
    } else if (size % 4 !== 0 || size > MAX_WINDOW_BYTES) {
      const expected = `a multiple of 4 up to ${MAX_WINDOW_BYTES} bytes`;
      this.fail('window of an impossible length', { source, expected, got: `${size}` });
    } else {
      this.windowBytes = CPU_CHANGE_BYTES + size;
    }
  }

  private fail(what: string, detail: { source: string; expected: string; got: string }): void {
    this.error = new TraceError('E_BAD_RECORD', what, { ...detail, offset: this.offset });
    this.pending = [];
    this.pendingBytes = 0;
  }

  private end(onWindow: OnWindow): void {
    const window = this.pending.length === 1 ? this.pending[0]! : Buffer.concat(this.pending);
    this.offset += window.length;
    this.pending = [];
    this.pendingBytes = 0;
    this.windowBytes = undefined;
    // xentrace writes none without records.
    if (window.length > CPU_CHANGE_BYTES) onWindow(this.view.getUint32(4, true), window);
  }
}
