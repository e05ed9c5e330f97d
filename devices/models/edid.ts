/**
 * A small EDID of its own for a display of `width` x `height` at 60 Hz: VESA E-EDID 1.4, one block of 128 bytes
 * with the preferred mode, range limits and a name. A device that stands in for another is given that one's.
 */
export function simpleEdid(width: number, height: number, name = 'ioreq-trace'): Uint8Array {
  const edid = new Uint8Array(128);
  edid.set([0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
  // Manufacturer "IRT" as three 5-bit letters, product 1; week 1 of 2026; EDID 1.4.
  edid.set([0x26, 0x54, 1, 0, 0, 0, 0, 0, 1, 2026 - 1990, 1, 4], 8);
  // Digital, 8 bits a colour; size undefined; gamma 2.2; sRGB, preferred mode is native.
  edid.set([0xa5, 0, 0, 120, 0x06], 20);
  // sRGB primaries and white point (3.7 of the standard).
  edid.set([0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54], 25);
  // No established timings, no standard timings.
  edid.fill(1, 38, 54);
  edid.set(timing(width, height), 54);
  edid.set([0, 0, 0, 0xfd, 0, 30, 75, 15, 160, 60, 1, 10, 32, 32, 32, 32, 32, 32], 72);
  edid.set(
    [
      0,
      0,
      0,
      0xfc,
      0,
      ...`${name.slice(0, 12)}\n`
        .padEnd(13)
        .split('')
        .map((c) => c.charCodeAt(0)),
    ],
    90,
  );
  edid.set([0, 0, 0, 0x10], 108);
  edid[127] = (256 - (edid.reduce((sum, byte) => sum + byte, 0) & 255)) & 255;
  return edid;
}

/** Detailed timing descriptor, with blanking as CVT 1.2 reduced blanking has it: 160 pixels and 30 lines. */
function timing(width: number, height: number): number[] {
  const [hBlank, vBlank] = [160, 30];
  const clock = Math.min(0xffff, Math.round(((width + hBlank) * (height + vBlank) * 60) / 10_000));
  const high = (a: number, b: number): number => ((a >> 8) << 4) | (b >> 8);
  return [
    ...[clock & 255, clock >> 8],
    ...[width & 255, hBlank, high(width, hBlank), height & 255, vBlank, high(height, vBlank)],
    // Front porch 48 pixels and 3 lines, sync 32 pixels and 6 lines.
    ...[48, 32, 0x36, 0, 0, 0, 0, 0, 0, 0x1a],
  ];
}
