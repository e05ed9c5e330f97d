import type { TracePoints } from '../../trace/recording-facts.ts';
import { TWO_32 } from '../../trace/columns.ts';
import { DOM0 } from '../../trace/ids.ts';
import { CPU_CHANGE_BYTES } from '../sources/xentrace/windows.ts';
import { WindowCutter } from './live/window-cutter.ts';

/** The record of a domain's counter offset, and the subclass of all Arm trace points (ids 0x88001 on). */
const CNTVOFF = 0x8800a;
const SUBCLASS = 0x88;
/** By then Xen has said what it has to say when tracing begins: only its first records are looked at. */
const MOST_BYTES = 16 << 20;

/**
 * Whether the Xen that is being recorded has the Arm trace points: one that does tells every domain's counter offset
 * when tracing is switched on. Looks at the first bytes of xentrace's output as they come.
 */
export class PointsWatch {
  /** What was seen by now; undefined: nothing of the trace points yet. */
  seen: Exclude<TracePoints, 'none'> | undefined;
  /** CNTPCT - CNTVCT of Dom0, ticks, if Xen told it. */
  dom0Offset: bigint | undefined;
  /** Bytes that were looked at. */
  bytes = 0;
  private readonly cutter = new WindowCutter();

  /** Whether there is nothing more to be found out. */
  get settled(): boolean {
    return this.dom0Offset !== undefined || this.bytes >= MOST_BYTES || this.cutter.error !== undefined;
  }

  /** `bytes` must not be written into afterwards. */
  push(bytes: Uint8Array): void {
    if (this.settled) return;
    this.bytes += bytes.length;
    this.cutter.push(bytes, (_cpu, window) => {
      this.look(window);
    });
  }

  /** What is to be said of a Xen of which so much was seen. */
  verdict(): TracePoints {
    return this.seen ?? 'none';
  }

  private look(window: Uint8Array): void {
    const view = new DataView(window.buffer, window.byteOffset, window.byteLength);
    for (let at = CPU_CHANGE_BYTES; at + 4 <= window.length && this.dom0Offset === undefined;) {
      const header = view.getUint32(at, true);
      const words = (header >>> 28) & 7;
      const body = at + 4 + (header >= 2 ** 31 ? 8 : 0);
      const end = body + 4 * words;
      if (end > window.length) return;
      const id = header & 0x0fffffff;
      if (id === CNTVOFF && words >= 3) this.offset(view, body);
      else if (id >>> 12 === SUBCLASS) this.seen ??= 'some';
      at = end;
    }
  }

  private offset(view: DataView, at: number): void {
    this.seen = 'all';
    if (view.getUint32(at, true) >>> 16 !== DOM0) return;
    const [low, high] = [view.getUint32(at + 4, true), view.getUint32(at + 8, true)];
    this.dom0Offset = BigInt(high) * BigInt(TWO_32) + BigInt(low);
  }
}
