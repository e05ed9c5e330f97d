import type { EventBatch } from '../../trace/columns.ts';
import { isTraceError, TraceError } from '../../trace/errors.ts';
import { StringTable } from '../../trace/strings.ts';
import type { ByteSource } from '../input/byte-source.ts';
import { addLoss } from './losses.ts';
import { newReport } from './source.ts';
import type { DecodeReport, EventDecoder, RawFormat, SourceClock } from './source.ts';
import { Damage } from './xentrace/damage.ts';
import { decodeBlock } from './xentrace/decode.ts';
import { LaneHeap } from './xentrace/lane-heap.ts';
import { ChunkSpace, Lane, MAX_TIME, MIN_CHUNK_BYTES } from './xentrace/lane.ts';
import { BlockRows } from './xentrace/merge.ts';
import { hasOneClass } from './xentrace/records.ts';
import { Tally } from './xentrace/tally.ts';
import { CPU_CHANGE_BYTES, CPU_CHANGE_HEADER, indexWindows, MAX_CPUS } from './xentrace/windows.ts';

/** Of a few CPUs together, the chunks stay in a core's cache between reading and decoding. */
const CHUNK_BYTES = 1 << 17;
/** What all lanes together may hold; each CPU beyond that gets a smaller chunk. */
const ALL_CHUNKS_BYTES = 64 << 20;

export interface XentraceOptions {
  /** Bytes of a CPU's records read at a time, 128 KiB by default. */
  chunkBytes?: number;
}

/**
 * Decodes the file that the xentrace tool writes: the trace buffers of all physical CPUs, window by window.
 * Sources: xen/include/public/trace.h, tools/xentrace/xentrace.c, Xen 4.17 to 4.20; the Arm records are
 * those of the trace-point patch.
 *
 * `ts` is in ticks of the system counter (CNTPCT) since the smallest of the CPUs' first timestamps. A record
 * without a timestamp has the time of its CPU's previous record. A timestamp that contradicts both of its
 * neighbours is replaced by that time too, so that rows stay in order; the first such place is the error.
 *
 * `report.records` counts whole records, cpu_change and wrap_buffer included; these two give no rows.
 * `report.byName` has its counts once the input has ended. A
 * record that contradicts its format makes the rest of its window unreadable: it is skipped, with a XEN_LOST
 * row of unknown number, and decoding goes on in the CPU's next window. report.errors has the damage that
 * comes first in the file.
 */
export class XentraceDecoder implements EventDecoder {
  readonly clock: SourceClock = { name: 'xen', unit: 'ticks', epoch: 0n };
  readonly strings = new StringTable();
  readonly report: DecodeReport = newReport();
  private readonly input: ByteSource;
  private readonly chunkBytes: number;
  private readonly damage: Damage;
  private readonly tally = new Tally();
  private readonly rows = new BlockRows();
  private heap: LaneHeap | undefined;
  private space = new ChunkSpace(0);

  constructor(input: ByteSource, options: XentraceOptions = {}) {
    this.input = input;
    this.chunkBytes = options.chunkBytes ?? CHUNK_BYTES;
    this.damage = new Damage(input.name, this.report.errors);
  }

  fill(out: EventBatch): boolean {
    try {
      this.heap ??= this.open();
      while (!out.full && this.heap.first() !== undefined) {
        decodeBlock(this.heap, this.space, this.rows, out, this.tally, this.onLoss);
      }
    } catch (error) {
      if (!isTraceError(error)) throw error;
      // The input cannot be read any more (E_UNREADABLE).
      this.damage.failed(error);
      this.heap = new LaneHeap([], []);
    }
    this.report.records = this.tally.total();
    const more = this.heap.first() !== undefined;
    this.tally.into(this.report.byName, !more);
    return more;
  }

  private open(): LaneHeap {
    if (this.input.size === 0) {
      this.damage.failed(new TraceError('E_EMPTY', 'holds no bytes', { source: this.input.name }));
      return new LaneHeap([], []);
    }
    const index = indexWindows(this.input, this.damage, this.tally);
    const share = Math.floor(ALL_CHUNKS_BYTES / Math.max(1, index.cpus.length));
    const chunkBytes = Math.max(MIN_CHUNK_BYTES, Math.min(this.chunkBytes, share));
    // A multiple of 4 each, and no more than the CPU has.
    const sizes = index.cpus.map(({ bytes }) => Math.max(MIN_CHUNK_BYTES, Math.min(chunkBytes, bytes) & ~3));
    this.space = new ChunkSpace(sizes.reduce((sum, size) => sum + size, 0));
    let from = 0;
    const lanes = sizes.map((size, which) => {
      const lane = new Lane(this.input, index, which, this.space, from, size, this.damage);
      from += size;
      return lane;
    });
    const firsts = lanes.map((lane) => firstTime(lane.begin()));
    const epoch = firsts.reduce((a, b) => (b !== undefined && (a === undefined || b < a) ? b : a), undefined);
    const zero = epoch ?? 0n;
    this.clock.epoch = zero;
    this.space.epochHi = Number(zero >> 32n);
    this.space.epochLo = Number(zero & 0xffff_ffffn);
    const times = firsts.map((first) => Math.min(MAX_TIME, Number((first ?? zero) - zero)));
    lanes.forEach((lane, which) => {
      lane.start(times[which]!);
    });
    return new LaneHeap(lanes, times);
  }

  private readonly onLoss = (cpu: number, count: number, ts: number): void => {
    addLoss(this.report.losses, { cpu, count, ts });
  };
}

/** A first timestamp that lies behind the second is the damaged one of the two. */
function firstTime([first, second]: bigint[]): bigint | undefined {
  return first !== undefined && second !== undefined && second < first ? second : first;
}

export const xentraceFormat: RawFormat = {
  name: 'xentrace',
  title: 'Xen trace buffers as the xentrace tool writes them',
  /**
   * There is no magic number: the file begins with a cpu_change record, and its window with a record of Xen
   * (header with exactly one class bit).
   */
  sniff(head) {
    if (head.length < CPU_CHANGE_BYTES) return false;
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    const bytes = view.getUint32(8, true);
    if (view.getUint32(0, true) !== CPU_CHANGE_HEADER) return false;
    if (view.getUint32(4, true) >= MAX_CPUS || bytes % 4 !== 0) return false;
    // An empty window, or a file that is cut behind its first header, shows no record.
    if (bytes === 0 || head.length < CPU_CHANGE_BYTES + 4) return true;
    return hasOneClass(view.getUint32(CPU_CHANGE_BYTES, true));
  },
};
