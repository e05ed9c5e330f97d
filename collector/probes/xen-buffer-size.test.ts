import { expect, it } from 'vitest';
import { rateOf } from '../live-host/interrupt-rate.ts';
import { xenBufferPages } from './xen-buffer-size.ts';

const ALL = new Set(['xen', 'points']);

it.each([
  [0, ALL, 256],
  [500, ALL, 256],
  [2000, ALL, 1024],
  [2000, new Set(['points']), 512],
  [2000, new Set(['xen']), 1024],
  [1e6, ALL, 2048],
])("Xen's buffers for %d ioreqs a second", (rate, hooks, pages) => {
  expect(xenBufferPages(rate, hooks)).toBe(pages);
});

const READINGS = `@@ 100.50
           CPU0       CPU1
 18:          0          0  xen-dyn-lateeoi     Edge    -event     evtchn:xenstored
 23:        803          5  xen-dyn-lateeoi     Edge    -event     evtchn:qemu-xen
 24:          1        283  xen-dyn-lateeoi     Edge    -event     evtchn:qemu-xen
IPI0:        77         88       Rescheduling interrupts
@@ 102.50
           CPU0       CPU1
 18:         90          0  xen-dyn-lateeoi     Edge    -event     evtchn:xenstored
 23:       1803         15  xen-dyn-lateeoi     Edge    -event     evtchn:qemu-xen
 24:          1        473  xen-dyn-lateeoi     Edge    -event     evtchn:qemu-xen
IPI0:      7777       8888       Rescheduling interrupts
`;

it("takes the rate from the device model's own interrupts", () => {
  expect(rateOf(READINGS, new Set([23, 24]))).toBe(600);
  expect(rateOf(READINGS, new Set([18]))).toBe(45);
});

it('knows no rate where the host does not tell', () => {
  expect(rateOf('', new Set([23]))).toBeUndefined();
  expect(rateOf(READINGS.split('@@ 102')[0]!, new Set([23]))).toBeUndefined();
});
