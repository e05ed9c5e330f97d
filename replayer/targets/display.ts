/**
 * Preferred size in pixels that an EDID tells: its first detailed timing (VESA E-EDID, 3.10.2). QEMU's own size unless
 * it tells one.
 */
export function displaySize(edid: Uint8Array | undefined): [width: number, height: number] {
  const size: [number, number] = [1280, 800];
  if (edid === undefined || edid.length < 72) return size;
  const width = edid[56]! | ((edid[58]! & 0xf0) << 4);
  const height = edid[59]! | ((edid[61]! & 0xf0) << 4);
  return width === 0 || height === 0 ? size : [width, height];
}
