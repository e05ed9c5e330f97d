import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Recording } from '../recording/load.ts';
import { ReplayRun } from '../run.ts';
import { builtinTarget } from '../targets/builtin.ts';
import { batchesOf, shared, sharedPresent, unxz } from '../testing/recordings.ts';
import { runCommand } from './command-line.ts';
import { DebugSession } from './session.ts';

async function answersOf(
  jsonl: Uint8Array,
  disk: Uint8Array | undefined,
  script: string[],
): Promise<string[]> {
  const recording = new Recording(batchesOf(jsonl));
  const disks = new Map(disk === undefined ? [] : [[0, disk]]);
  const session = await DebugSession.open(
    recording,
    () => new ReplayRun(recording, builtinTarget(), { disks, checkpoints: true }),
  );
  const lines: string[] = [];
  for (const line of script) lines.push(...(await runCommand(session, line)).lines);
  expect(await session.finish()).toMatchObject({ equal: true });
  await session.close();
  return lines;
}

const MODERN = 'qemu-virt/modern-blk-net-serial-gpu.jsonl';
describe.skipIf(!sharedPresent(MODERN))('requests of net, console and gpu', () => {
  it('are told by what they ask for', async () => {
    const lines = await answersOf(shared(MODERN), shared('qemu-virt/disk-start.img'), [
      ...['notify console2 queue 1', 'chain', 'notify gpu3', 'chain', 'notify net1 queue 1', 'chain'],
      ...['goto 0', 'notify console2', 'chain', 'notify net1 queue 2', 'chain', 'goto 0'],
      ...[
        'continue gpu3 if type == resource_create_2d',
        'chain',
        'notify net1 queue 0',
        'chain',
        'device net1',
      ],
    ]);
    const text = lines.filter((line) => !line.startsWith('  ')).join('\n');
    expect(text).toContain('port 0 writes "hello from hvc0"');
    expect(text).toContain('TRANSFER_TO_HOST_2D 1280 x 800 at 0,0, offset 0, resource 2');
    expect(text).toContain('RESOURCE_FLUSH 1280 x 800 at 0,0, resource 2');
    expect(text).toMatch(/frame of \d+ bytes: IPv6 .* 52:54:00:12:34:56 to 33:33:/);
    expect(text).toMatch(/chain 0, head 0: (buffer of \d+ bytes for control messages|DEVICE_READY port)/);
    expect(text).toMatch(/control (RX|MAC|VLAN) command \d/);
    expect(text).toMatch(/RESOURCE_CREATE_2D resource \d+, format \d+, width 1280, height 800/);
    expect(text).toMatch(/chain 0, head \d+: receive buffer of \d+ bytes/);
    expect(text).toContain('... and 1008 more');
    expect(lines).toContain('    mac: 52:54:00:12:34:56');
  });
});

const PACKED = join(import.meta.dirname, '../../fixtures/recordings/console-packed.jsonl.xz');
describe('a packed ring', () => {
  it('shows the chain that is new, not the one that the device will take next', async () => {
    const lines = await answersOf(unxz(PACKED), undefined, [
      'notify',
      'chain',
      'notify',
      'chain',
      'queue console0 2',
    ]);
    const heads = lines.filter((line) => line.startsWith('chain 0'));
    expect(heads).toEqual([
      'chain 0, head 0: buffer of 4096 bytes for control messages',
      'chain 0, head 1: buffer of 4096 bytes for control messages',
    ]);
    expect(lines).toContain('  device: next to take 0, next to give 0 wrap 1/1, 0 taken');
  });
});
