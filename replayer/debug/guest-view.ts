import { isTraceError } from '../../trace/errors.ts';
import { GuestFault, type GuestMemory } from '../../devices/guest-memory.ts';
import { hex } from './names.ts';

/** Bytes that are asked for at once. */
const PAGE = 4096;
/** Pages of one inspection: 64 MiB, room for a receive queue full of large buffers. What is beyond is not there. */
const MOST_PAGES = 16_384;

export type FetchMemory = (gpa: number, length: number) => Uint8Array | Promise<Uint8Array>;

/** Thrown inside to ask for pages; never leaves inspect(). */
class Missing extends Error {
  readonly first: number;
  readonly last: number;
  constructor(first: number, last: number) {
    super('pages that are not here yet');
    this.first = first;
    this.last = last;
  }
}

/**
 * Lets code that reads guest memory at once (the device models' own walk over rings and chains) run over memory
 * that must be asked for: what is missing is fetched and the code runs again. It must not change anything; writes are an error.
 * Where there is no RAM `look` meets a GuestFault, as a device does. Rejects as `fetch` does for any other reason.
 */
export async function inspect<T>(fetch: FetchMemory, look: (memory: GuestMemory) => T): Promise<T> {
  const pages = new Map<number, Uint8Array | undefined>();
  const memory = new PagedView(pages);
  for (;;) {
    try {
      return look(memory);
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      const { first, last } = error;
      const bytes =
        pages.size + last - first < MOST_PAGES
          ? await ramAt(fetch, first * PAGE, (last - first + 1) * PAGE)
          : undefined;
      for (let page = first; page <= last; page++)
        pages.set(page, bytes?.subarray((page - first) * PAGE, (page - first + 1) * PAGE));
    }
  }
}

/** A copy of guest memory; undefined where not all of it is RAM. */
async function ramAt(fetch: FetchMemory, gpa: number, length: number): Promise<Uint8Array | undefined> {
  try {
    return Uint8Array.from(await fetch(gpa, length));
  } catch (error) {
    if (isTraceError(error) && error.code === 'E_NOT_REPLAYABLE') return undefined;
    throw error;
  }
}

class PagedView implements GuestMemory {
  private readonly pages: ReadonlyMap<number, Uint8Array | undefined>;
  constructor(pages: ReadonlyMap<number, Uint8Array | undefined>) {
    this.pages = pages;
  }

  private page(number: number): Uint8Array {
    const found = this.pages.get(number);
    if (found !== undefined) return found;
    if (this.pages.has(number)) throw new GuestFault('memory', `no RAM to look at in ${hex(number * PAGE)}`);
    throw new Missing(number, number);
  }

  view(gpa: number, length: number): Uint8Array {
    const first = Math.floor(gpa / PAGE);
    const offset = gpa - first * PAGE;
    if (offset + length <= PAGE) return this.page(first).subarray(offset, offset + length);
    const last = Math.floor((gpa + length - 1) / PAGE);
    if (last - first >= MOST_PAGES)
      throw new GuestFault('memory', `${length} bytes at ${hex(gpa)} are too many to look at`);
    for (let page = first; page <= last; page++) if (!this.pages.has(page)) throw new Missing(page, last);
    return this.joined(first, offset, length);
  }

  private joined(first: number, offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let done = 0, page = first; done < length; page++) {
      const from = page === first ? offset : 0;
      const part = this.page(page).subarray(from, Math.min(PAGE, from + length - done));
      bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }

  u16(gpa: number): number {
    const bytes = this.view(gpa, 2);
    return bytes[0]! | (bytes[1]! << 8);
  }

  u32(gpa: number): number {
    return this.u16(gpa) + this.u16(gpa + 2) * 0x1_0000;
  }

  setU16(): void {
    throw new Error('an inspection may not write');
  }

  setU32(): void {
    throw new Error('an inspection may not write');
  }
}
