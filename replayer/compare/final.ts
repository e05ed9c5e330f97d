import type { Divergence, ReplayResult } from '../result.ts';
import type { FinalState } from '../target.ts';
import { byteDifference } from './bytes.ts';
import { sha256, type Observed } from './observed.ts';

/** Console output kept as text in the result: its beginning. */
const MOST_TEXT = 4096;

/** What the devices hold in the end, as the result tells it. Texts come from the guest: for a terminal escape them. */
export function finalFacts(state: FinalState, observed: Observed): ReplayResult['final'] {
  const byTransport = <T>(map: ReadonlyMap<number, T>): [number, T][] => [...map].sort(([a], [b]) => a - b);
  const disks = byTransport(state.disks).map(([transport, bytes]) => ({
    transport,
    bytes: bytes.length,
    sha256: sha256(bytes),
  }));
  const sent = byTransport(state.sent).map(([transport, frames]) => {
    const all = Buffer.concat(frames.map((frame) => [lengthWord(frame), frame]).flat());
    return { transport, frames: frames.length, bytes: all.length - 4 * frames.length, sha256: sha256(all) };
  });
  const output = byTransport(state.output).flatMap(([transport, ports]) =>
    ports.map((bytes, port) => ({
      transport,
      port,
      bytes: bytes.length,
      sha256: sha256(bytes),
      text: new TextDecoder().decode(bytes.subarray(0, MOST_TEXT)),
    })),
  );
  const screens = byTransport(state.screens).map(([transport, { width, height, rgb }]) => ({
    transport,
    width,
    height,
    sha256: sha256(rgb),
  }));
  const facts = { disks, sent, output, screens };
  observed.bytes(new TextEncoder().encode(JSON.stringify(facts)));
  return facts;
}

/** Frames are hashed with their lengths, so that two of them cannot pass for one. */
function lengthWord({ length }: Uint8Array): Uint8Array {
  return Uint8Array.of(length, length >>> 8, length >>> 16, length >>> 24);
}

/** The disk at the end against the image given; `step` is the recording's last. */
export function diskDivergence(
  step: number,
  transport: number,
  device: string,
  expected: Uint8Array,
  got: Uint8Array | undefined,
): Divergence | undefined {
  const memory = byteDifference(0, expected, got ?? new Uint8Array(0));
  if (memory === undefined) return undefined;
  const size = got?.length ?? 0;
  const byte = (bytes: Uint8Array | undefined): string => {
    const value = bytes?.[memory.at];
    return value === undefined ? 'the end' : `0x${value.toString(16).padStart(2, '0')}`;
  };
  const sizes = size === expected.length ? '' : ` (${size} bytes instead of ${expected.length})`;
  return {
    step,
    kind: 'disk',
    transport,
    device,
    field: `byte ${memory.at} of the disk at the end${sizes}`,
    expected: byte(expected),
    got: byte(got),
    memory,
  };
}
