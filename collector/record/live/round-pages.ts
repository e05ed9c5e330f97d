/** Pages of one CPU that a round brought. */
interface CpuPages {
  readonly cpu: number;
  pieces: Uint8Array[];
  bytes: number;
}

/** What is left of a round after `newest`. */
export interface KeptPages {
  readonly cpus: readonly { readonly cpu: number; readonly pieces: readonly Uint8Array[] }[];
  /** Pages left out. */
  readonly dropped: number;
  /** Trace clock from which on every CPU is whole; undefined: nothing was left out. */
  readonly from: bigint | undefined;
}

/** Ring-buffer pages as they come in a round, by CPU; whole pages (Linux kernel/trace/ring_buffer.c). */
export class RoundPages {
  private readonly pageBytes: number;
  private readonly cpus: CpuPages[] = [];
  /** Most bytes kept of a CPU while the round lasts. */
  private readonly cap: number;
  private pruned = 0;
  private readonly prunedCpus = new Set<number>();

  constructor(pageBytes: number, cap: number) {
    this.pageBytes = pageBytes;
    this.cap = Math.max(cap, pageBytes);
  }

  /** `bytes` are kept as they are until the round ends: the caller must not write into them. */
  add(cpu: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    let of = this.cpus.find((c) => c.cpu === cpu);
    if (of === undefined) this.cpus.push((of = { cpu, pieces: [], bytes: 0 }));
    of.pieces.push(bytes);
    of.bytes += bytes.length;
    while (of.bytes > this.cap && of.pieces.length > 1) this.prune(of, of.pieces.shift()!);
  }

  /** The newest pages of the round, of all CPUs from one time on, at most about `bytes` of them; none are left here. */
  newest(bytes: number): KeptPages {
    const total = this.cpus.reduce((sum, c) => sum + c.bytes, 0);
    const kept = total > bytes ? this.choose(bytes) : this.cpus.map((c) => ({ ...c, skip: 0 }));
    let from: bigint | undefined;
    let dropped = this.pruned;
    for (const c of kept) {
      dropped += Math.ceil(c.skip / this.pageBytes);
      const start = firstStamp(c.pieces, c.skip);
      const cut = c.skip > 0 || this.prunedCpus.has(c.cpu);
      if (cut && start !== undefined && (from === undefined || start > from)) from = start;
    }
    const cpus = kept.map(({ cpu, pieces, skip }) => ({ cpu, pieces: behind(pieces, skip) }));
    this.cpus.length = 0;
    this.pruned = 0;
    this.prunedCpus.clear();
    return { cpus: cpus.sort((a, b) => a.cpu - b.cpu), dropped, from };
  }

  /**
   * Takes pages from the end of each CPU's, always of the CPU that is whole from the latest time on, so that the time
   * from which all are is as early as it can be. Each CPU keeps a page at least.
   */
  private choose(bytes: number): (CpuPages & { skip: number })[] {
    const { pageBytes } = this;
    const kept = this.cpus.map((c) => {
      const skip = Math.floor((c.bytes - 1) / pageBytes) * pageBytes;
      return { ...c, skip, start: stampAt(c.pieces, skip) };
    });
    let left = bytes - kept.reduce((sum, c) => sum + c.bytes - c.skip, 0);
    while (left >= pageBytes) {
      let latest: (typeof kept)[number] | undefined;
      for (const c of kept) if (c.skip > 0 && (latest === undefined || c.start > latest.start)) latest = c;
      if (latest === undefined) break;
      latest.skip -= pageBytes;
      latest.start = stampAt(latest.pieces, latest.skip);
      left -= pageBytes;
    }
    return kept;
  }

  private prune(of: CpuPages, piece: Uint8Array): void {
    of.bytes -= piece.length;
    this.pruned += Math.ceil(piece.length / this.pageBytes);
    this.prunedCpus.add(of.cpu);
  }
}

/** Time stamp of the page at byte `at` of the pieces, as a number: only to compare pages with. */
function stampAt(pieces: readonly Uint8Array[], at: number): number {
  return Number(firstStamp(pieces, at) ?? 0n);
}

/** The eight bytes at `at`; a piece is whole pages, so that they lie in one. undefined if they are not there. */
function firstStamp(pieces: readonly Uint8Array[], at: number): bigint | undefined {
  let left = at;
  for (const piece of pieces) {
    if (left < piece.length) {
      if (left + 8 > piece.length) return undefined;
      return new DataView(piece.buffer, piece.byteOffset, piece.length).getBigUint64(left, true);
    }
    left -= piece.length;
  }
  return undefined;
}

function behind(pieces: readonly Uint8Array[], skip: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let left = skip;
  for (const piece of pieces) {
    if (left < piece.length) rest.push(left > 0 ? piece.subarray(left) : piece);
    left = Math.max(0, left - piece.length);
  }
  return rest;
}
