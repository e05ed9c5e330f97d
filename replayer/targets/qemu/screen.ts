import { TraceError } from '../../../trace/errors.ts';

/** A binary portable pixmap as QEMU's screendump writes it: "P6\n1280 800\n255\n" and 3 bytes a pixel. */
export function readPixmap(bytes: Buffer): { width: number; height: number; rgb: Uint8Array } {
  const head = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString('latin1', 0, 64));
  const width = Number(head?.[1] ?? 0);
  const height = Number(head?.[2] ?? 0);
  const rgb = new Uint8Array(bytes.subarray(head?.[0].length ?? 0));
  if (head === null || rgb.length !== 3 * width * height)
    throw new TraceError('E_TARGET', 'QEMU gave a picture of its screen that is none', {
      expected: `${3 * width * height} bytes`,
      got: `${rgb.length}`,
    });
  return { width, height, rgb };
}
