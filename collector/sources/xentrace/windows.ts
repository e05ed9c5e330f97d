import type { ByteSource } from '../../input/byte-source.ts';
import { CPU_CHANGE } from './records.ts';
import type { Damage } from './damage.ts';
import type { Tally } from './tally.ts';

/** The header word of a cpu_change record: two extra words, no timestamp. */
export const CPU_CHANGE_HEADER = 0x20000000 | CPU_CHANGE;
export const CPU_CHANGE_BYTES = 12;
/** Xen's NR_CPUS can be configured up to 16383 (xen/arch/Kconfig); Arm's up to 4095. */
export const MAX_CPUS = 16_384;
/** Bound on the index's memory (16 bytes a window); xentrace's own windows are kilobytes each. */
const MAX_WINDOWS = 1 << 24;
/**
 * Headers are read through a buffer of this size, so that tiny windows do not cost a read each; behind a larger
 * window, its next header alone is read.
 */
const SCAN_BYTES = 4096;
export const NO_WINDOW = 0xffffffff;

/**
 * Where each CPU's windows lie. A file is a sequence of (cpu_change, window): cpu_change tells the CPU and
 * the length of the window, which holds whole records of that CPU in time order. A ring that wrapped is
 * written in two parts under one cpu_change, so that its window is as contiguous as any other.
 * Source: tools/xentrace/xentrace.c, write_buffer().
 */
export interface WindowIndex {
  /** File offset of the window's first record, by window. */
  readonly offset: Float64Array;
  /** Length in bytes, a multiple of 4, within the file. */
  readonly bytes: Uint32Array;
  /** The same CPU's next window, or NO_WINDOW. */
  readonly next: Uint32Array;
  /** CPUs that have windows, ascending, and the first window of each. */
  readonly cpus: { cpu: number; first: number; bytes: number }[];
  /** The window that the end of the file cuts, and the length it should have had; NO_WINDOW if none. */
  readonly cut: number;
  readonly cutBytes: number;
}

/** Walks the cpu_change headers. Stops at the first that cannot be one, having reported it. */
export function indexWindows(input: ByteSource, damage: Damage, tally: Tally): WindowIndex {
  const scan = new Uint8Array(SCAN_BYTES);
  const view = new DataView(scan.buffer);
  let scanAt = 0;
  let scanEnd = 0;
  const lone = scan.subarray(0, CPU_CHANGE_BYTES);
  let near = true;

  let capacity = 256;
  let offset = new Float64Array(capacity);
  let bytes = new Uint32Array(capacity);
  let next = new Uint32Array(capacity);
  let count = 0;
  const chains = new Map<number, { cpu: number; first: number; bytes: number; last: number }>();
  let cut = NO_WINDOW;
  let cutBytes = 0;

  for (let at = 0; at < input.size;) {
    if (at + CPU_CHANGE_BYTES > scanEnd) {
      scanAt = at;
      scanEnd = at + input.read(at, near ? scan : lone);
      if (at + CPU_CHANGE_BYTES > scanEnd) {
        const left = `${scanEnd - at}`;
        damage.report('E_TRUNCATED', at, 'input ends inside a cpu_change record', '12 bytes', left);
        break;
      }
    }
    const header = view.getUint32(at - scanAt, true);
    const cpu = view.getUint32(at - scanAt + 4, true);
    const size = view.getUint32(at - scanAt + 8, true);
    if (header !== CPU_CHANGE_HEADER) {
      const got = `0x${header.toString(16)}`;
      damage.report('E_BAD_RECORD', at, 'no cpu_change record where a window ends', '0x2001f003', got);
      break;
    }
    if (cpu >= MAX_CPUS) {
      damage.report('E_BAD_RECORD', at, 'cpu_change of an impossible CPU', `below ${MAX_CPUS}`, `${cpu}`);
      break;
    }
    if (size % 4 !== 0) {
      damage.report('E_BAD_RECORD', at, 'window of broken records', 'a multiple of 4 bytes', `${size}`);
      break;
    }
    tally.countCpuChange();
    const start = at + CPU_CHANGE_BYTES;
    at = start + size;
    near = size < SCAN_BYTES;
    if (size === 0) continue;
    if (count === MAX_WINDOWS) {
      damage.report('E_UNSUPPORTED', start, 'too many windows', `at most ${MAX_WINDOWS}`, 'more');
      break;
    }
    if (count === capacity) {
      capacity *= 2;
      offset = grown(offset, new Float64Array(capacity));
      bytes = grown(bytes, new Uint32Array(capacity));
      next = grown(next, new Uint32Array(capacity));
    }
    offset[count] = start;
    const there = input.size - start;
    bytes[count] = at > input.size ? there - (there % 4) : size;
    next[count] = NO_WINDOW;
    if (at > input.size) {
      cut = count;
      cutBytes = size;
    }
    const chain = chains.get(cpu);
    if (chain === undefined) {
      chains.set(cpu, { cpu, first: count, bytes: bytes[count]!, last: count });
    } else {
      next[chain.last] = count;
      chain.last = count;
      chain.bytes += bytes[count]!;
    }
    count++;
  }
  const cpus = [...chains.values()].sort((a, b) => a.cpu - b.cpu);
  return { offset, bytes, next, cpus, cut, cutBytes };
}

function grown<T extends Float64Array | Uint32Array>(from: T, into: T): T {
  into.set(from);
  return into;
}
