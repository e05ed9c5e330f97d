import { EventBatch } from '../../../trace/columns.ts';
import { StringTable } from '../../../trace/strings.ts';
import { isDamagedEvent, QemuEventParser } from './event-line.ts';
import { QEMU_EVENTS } from './event-table.ts';
import { LogStamp } from './log-stamp.ts';

/** Event names that are not in the table but surely a device model's. */
const FAMILY = /^(?:virtio|virtqueue|vhost|xen|cpu_ioreq)_/u;
const MAX_LINES = 2000;

/**
 * Whether `head` is a QEMU log of trace events: one whole event that the table knows, or one stamped event,
 * at the start of a line; or, without any, at least half of the lines being events of a virtio or Xen family.
 */
export function sniffQemuLog(head: Uint8Array): boolean {
  const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString('latin1');
  const lines = text.split('\n', MAX_LINES);
  if (lines.length === 1) return isDamagedEvent(text.slice(new LogStamp().read(text, 0, text.length)));
  const parser = new QemuEventParser(new StringTable());
  const out = new EventBatch(1);
  const stamp = new LogStamp();
  let family = 0;
  let counted = 0;
  // The last piece is a cut line, or empty.
  for (const line of lines.slice(0, -1)) {
    const end = line.endsWith('\r') ? line.length - 1 : line.length;
    if (end === 0) continue;
    if (line.includes('\0')) break;
    counted++;
    const at = stamp.read(line, 0, end);
    out.clear();
    const id = parser.parse(line, at, end, out, NaN, 0, 0);
    if (id >= 0 && (id < QEMU_EVENTS.length || at > 0)) return true;
    if (id >= 0 && FAMILY.test(line)) family++;
  }
  return family > 0 && family * 2 >= counted;
}
