import type { ByteDifference } from '../result.ts';

/** Bytes of context before and behind the first that differs. */
const BEFORE = 16;
const BEHIND = 48;

/** Where two pieces of memory first differ; undefined if they are equal. A missing byte is a difference. */
export function byteDifference(
  gpa: number,
  expected: Uint8Array,
  got: Uint8Array,
): ByteDifference | undefined {
  const length = Math.max(expected.length, got.length);
  if (expected.length === got.length && Buffer.compare(expected, got) === 0) return undefined;
  let at = -1;
  let differing = 0;
  for (let i = 0; i < length; i++) {
    if (expected[i] === got[i]) continue;
    if (at < 0) at = i;
    differing++;
  }
  const start = Math.max(0, at - BEFORE);
  const part = (bytes: Uint8Array): string => hex(bytes.subarray(start, at + BEHIND));
  return { gpa, at, differing, length, start, expected: part(expected), got: part(got) };
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
