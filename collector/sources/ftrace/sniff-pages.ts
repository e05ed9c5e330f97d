import { isTraceError } from '../../../trace/errors.ts';
import { MemorySource, type ByteSource } from '../../input/byte-source.ts';
import { DEFAULT_PAGE_LAYOUT } from './event-format.ts';
import { NOT_LOST, PageLane } from './sub-buffer.ts';

/** Sub-buffer sizes that a kernel can be set to (buffer_subbuf_size_kb) and that fit the head twice. */
const PAGE_BYTES = [4096, 8192, 16384, 32768, 65536];

/**
 * Pages have no magic number. They are taken for pages if those in the head walk to the end of their data
 * without a contradiction, hold at least one record, and every record's pid and type can be right.
 */
export function looksLikePages(head: Uint8Array, input: ByteSource): boolean {
  return PAGE_BYTES.some((pageBytes) => input.size >= pageBytes && walks(head, pageBytes));
}

function walks(head: Uint8Array, pageBytes: number): boolean {
  const pages = Math.floor(head.length / pageBytes);
  if (pages === 0) return false;
  const whole = head.subarray(0, pages * pageBytes);
  const layout = { ...DEFAULT_PAGE_LAYOUT, pageBytes };
  const lane = new PageLane(0, new MemorySource('head', whole), layout, whole.length);
  try {
    const first = lane.firstTimestamp();
    if (first === undefined || first === 0n) return false;
    lane.setEpoch(first);
    let records = 0;
    while (lane.next()) {
      if (lane.lost !== NOT_LOST) continue;
      if (lane.length < 8) return false;
      const type = lane.view.getUint16(lane.at, true);
      const pid = lane.view.getInt32(lane.at + 4, true);
      // PID_MAX_LIMIT of 64-bit kernels.
      if (type === 0 || pid < 0 || pid > 4_194_304) return false;
      records++;
    }
    return lane.error === undefined && records > 0;
  } catch (error) {
    if (isTraceError(error)) return false;
    throw error;
  }
}
