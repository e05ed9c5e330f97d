/** Linux kernel/trace/ring_buffer.c: RB_MISSED_EVENTS in the commit word, at byte 8 of a page (byte 3 of the word). */
const COMMIT_TOP_BYTE = 8 + 3;
const MISSED_EVENTS = 0x80;
/** xen/include/public/trace.h: cpu_change is 12 bytes; a record's bit 31 says that it has a time stamp. */
const CPU_CHANGE_BYTES = 12;
const WINDOW_SIZE_AT = 8;
const HAS_TIME = 0x80000000;
/** lost_records with time stamp and four words: lost, domid and vcpu, time of the first lost (0: unknown). */
const LOST_HEADER = 0xc001f001;
const LOST_BYTES = 28;

/**
 * A copy of a CPU's first pages that says that events before them are missing, as the kernel itself says it: a
 * ring begins on each CPU at another instant, and no latency may be taken across that.
 */
export function pagesAfterLoss(pages: Uint8Array): Uint8Array {
  const marked = new Uint8Array(pages);
  marked[COMMIT_TOP_BYTE] = marked[COMMIT_TOP_BYTE]! | MISSED_EVENTS;
  return marked;
}

/**
 * A copy of xentrace windows in which the first window of each physical CPU begins with a lost_records record, as
 * Xen writes it where records are missing; `seen` remembers the CPUs that had theirs.
 */
export function windowsAfterLoss(windows: Uint8Array, seen: Set<number>): Uint8Array {
  const view = new DataView(windows.buffer, windows.byteOffset, windows.byteLength);
  const parts: Uint8Array[] = [];
  let at = 0;
  while (at + CPU_CHANGE_BYTES <= windows.length) {
    const cpu = view.getUint32(at + 4, true);
    const size = view.getUint32(at + WINDOW_SIZE_AT, true);
    const end = at + CPU_CHANGE_BYTES + size;
    const lost =
      seen.has(cpu) || end > windows.length ? undefined : lostRecord(view, at + CPU_CHANGE_BYTES, end);
    if (lost === undefined) parts.push(windows.subarray(at, end));
    else {
      seen.add(cpu);
      const head = new Uint8Array(windows.subarray(at, at + CPU_CHANGE_BYTES));
      new DataView(head.buffer).setUint32(WINDOW_SIZE_AT, size + LOST_BYTES, true);
      parts.push(head, lost, windows.subarray(at + CPU_CHANGE_BYTES, end));
    }
    at = end;
  }
  if (at < windows.length) parts.push(windows.subarray(at));
  return Buffer.concat(parts);
}

/** With the time of the first record that has one; undefined if the window's first record has none. */
function lostRecord(view: DataView, at: number, end: number): Uint8Array | undefined {
  if (at + 12 > end || (view.getUint32(at, true) & HAS_TIME) === 0) return undefined;
  const record = new DataView(new ArrayBuffer(LOST_BYTES));
  record.setUint32(0, LOST_HEADER, true);
  record.setUint32(4, view.getUint32(at + 4, true), true);
  record.setUint32(8, view.getUint32(at + 8, true), true);
  record.setUint32(12, 1, true);
  return new Uint8Array(record.buffer);
}
