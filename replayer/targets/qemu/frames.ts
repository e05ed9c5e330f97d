import type { RecordedElement } from '../../target.ts';
import { NET_HEADER_BYTES, NET_SHORT_HEADER_BYTES } from '../../../devices/models/net-format.ts';

/** A frame that the recorded device received, and how many used elements it filled. */
export interface RecordedFrame {
  bytes: Buffer;
  elements: number;
}

export function headerBytes(version: 1 | 2, mergeable: boolean): number {
  return version === 2 || mergeable ? NET_HEADER_BYTES : NET_SHORT_HEADER_BYTES;
}

/** What a device wrote for one used element. */
export function writtenBytes({ buffers, len }: RecordedElement): Buffer {
  return Buffer.concat(buffers.map(({ bytes }) => bytes)).subarray(0, len);
}

/**
 * Takes whole frames out of used elements of a receive queue. With mergeable buffers num_buffers at byte 10 of
 * the header tells how many elements a frame has (VIRTIO 1.2, 5.1.6.4); the other elements have no header.
 */
export function takeFrames(
  elements: readonly RecordedElement[],
  header: number,
  mergeable: boolean,
): { frames: RecordedFrame[]; rest: readonly RecordedElement[] } {
  const frames: RecordedFrame[] = [];
  let at = 0;
  while (at < elements.length) {
    const first = writtenBytes(elements[at]!);
    const count = mergeable && first.length >= NET_HEADER_BYTES ? Math.max(1, first.readUInt16LE(10)) : 1;
    if (at + count > elements.length) break;
    const parts = [first.subarray(header), ...elements.slice(at + 1, at + count).map(writtenBytes)];
    frames.push({ bytes: Buffer.concat(parts), elements: count });
    at += count;
  }
  return { frames, rest: elements.slice(at) };
}
