import { describe, expect, it } from 'vitest';
import {
  GPU_ATTACH_BACKING,
  GPU_FLAG_FENCE,
  GPU_GET_DISPLAY_INFO,
  GPU_OK_DISPLAY_INFO,
  GPU_OK_NODATA,
  GPU_RESOURCE_CREATE_2D,
  GPU_RESOURCE_FLUSH,
  GPU_SET_SCANOUT,
  GPU_TRANSFER_TO_HOST_2D,
} from '../../../devices/models/gpu-format.ts';
import type { DevicePlan } from '../../target.ts';
import { stockCommand } from './backend.ts';
import { BASE, Live } from './testing/live.ts';

const missing = stockCommand({ kind: 'gpu' }) === undefined;
if (missing) console.warn('SKIPPED: vhost-user-gpu, because it is not installed (Debian: qemu-system-gui)');

const u32 = (...words: number[]): Uint8Array => new Uint8Array(Uint32Array.from(words).buffer);
const command = (type: number, ...rest: number[]): Uint8Array => u32(type, 0, 0, 0, 0, 0, ...rest);
const WIDTH = 640;
const HEIGHT = 480;

describe.skipIf(missing)('vhost-user-gpu behind our registers', () => {
  it('draws a screen, and tells the display that the recorded guest had', async () => {
    const edid = new Uint8Array(128);
    // 1024 x 768
    edid.set([0, 0, 0x40, 0, 0, 0x30], 56);
    const plan: DevicePlan = {
      ...{ transport: 5, kind: 'gpu', deviceId: 16, version: 2, base: BASE + 0xa00, spi: 53, edid },
      config: {
        bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0),
        seen: new Uint8Array(16),
      },
    };
    const live = await new Live(plan).start();
    try {
      const { driver } = live;
      expect(driver.setUp({ queues: [64, 16] })).toBe(true);
      expect(driver.config(8, 4)).toBe(1);
      const info = await live.request(0, [command(GPU_GET_DISPLAY_INFO)], [24 + 16 * 24]);
      const words = new DataView(info.bytes.buffer);
      expect(words.getUint32(0, true)).toBe(GPU_OK_DISPLAY_INFO);
      expect([words.getUint32(32, true), words.getUint32(36, true), words.getUint32(40, true)]).toEqual([
        1024, 768, 1,
      ]);
      const pixels = new Uint8Array(4 * WIDTH * HEIGHT);
      for (let i = 0; i < WIDTH * HEIGHT; i++) pixels.set([i & 0xff, (i >>> 8) & 0xff, i >>> 16, 0], 4 * i);
      const backing = driver.arena.put(pixels);
      const steps = [
        // B8G8R8X8
        command(GPU_RESOURCE_CREATE_2D, 1, 2, WIDTH, HEIGHT),
        command(GPU_ATTACH_BACKING, 1, 1, backing.gpa, 0, backing.length, 0),
        command(GPU_SET_SCANOUT, 0, 0, WIDTH, HEIGHT, 0, 1),
        command(GPU_TRANSFER_TO_HOST_2D, 0, 0, WIDTH, HEIGHT, 0, 0, 1, 0),
        u32(GPU_RESOURCE_FLUSH, GPU_FLAG_FENCE, 77, 0, 0, 0, 0, 0, WIDTH, HEIGHT, 1, 0),
      ];
      for (const step of steps) {
        const { bytes } = await live.request(0, [step], [24]);
        expect(new DataView(bytes.buffer).getUint32(0, true)).toBe(GPU_OK_NODATA);
      }
      const { screens } = await live.target.final();
      const screen = screens.get(5)!;
      expect([screen.width, screen.height]).toEqual([WIDTH, HEIGHT]);
      const wrong = screen.rgb.findIndex((byte, i) => byte !== pixels[4 * Math.floor(i / 3) + 2 - (i % 3)]);
      expect(wrong).toBe(-1);
    } finally {
      await live.target.stop();
    }
  });
});
