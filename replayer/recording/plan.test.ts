import { expect, it } from 'vitest';
import { batchesOf } from '../testing/recordings.ts';
import { Recording } from './load.ts';
import { planDevices } from './plan.ts';

const read = (a: number, v: number) => ({ t: 'R', a, s: 4, v });
const write = (a: number, v: number) => ({ t: 'W', a, s: 4, v });
const plansOf = (records: readonly object[]) =>
  planDevices(
    new Recording(batchesOf(records.map((record, i) => `${JSON.stringify({ ...record, i })}\n`).join(''))),
  );
const disk = [read(0x0200_0000, 0x7472_6976), read(0x0200_0004, 1), read(0x0200_0008, 2)];

it('a slot whose device is only used, not looked at, is no empty one: it is left out', () => {
  const { devices, empty, unserved } = plansOf([
    ...disk,
    // Slot 1 in use since before the recording, slot 2 found to be empty.
    ...[write(0x0200_0250, 0), read(0x0200_0260, 1), write(0x0200_0264, 1)],
    ...[read(0x0200_0400, 0x7472_6976), read(0x0200_0404, 1), read(0x0200_0408, 0)],
  ]);
  expect(devices.map(({ transport }) => transport)).toEqual([0]);
  expect(empty).toEqual([2]);
  expect(unserved).toEqual([{ transport: 1, what: 'device whose set-up was not recorded' }]);
});
