import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { qemuMissing } from '../../devices/testing/qtest.ts';
import { qemuTarget } from '../targets/qemu/target.ts';
import { runCommand } from './command-line.ts';
import { debugReplay } from './index.ts';
import { DebugSession } from './session.ts';
import { legacy, legacyPresent, legacyText } from './testing/legacy.ts';

const runs = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe.skipIf(qemuMissing() || !legacyPresent())('a debugged replay into stock QEMU', () => {
  it('sees the same requests, rings and memory as in the built-in models, forwards and back', async () => {
    const script = [
      'continue blk0 queue 0 if type == write',
      'chain',
      'memory 0x4ba64000 48',
      'back 2',
      'diff 116 120',
    ];
    const answers: string[][] = [];
    for (const make of [undefined, qemuTarget({})]) {
      const { recording, newRun } = legacy(legacyText(), make);
      const session = await DebugSession.open(recording, newRun);
      const lines: string[] = [];
      for (const line of script) lines.push(...(await runCommand(session, line)).lines);
      expect(await session.finish()).toMatchObject({ equal: true });
      await session.close();
      answers.push(lines);
    }
    expect(answers[0]).toContainEqual(expect.stringMatching(/^chain 0, head 0: write sector/));
    expect(answers[1]).toEqual(answers[0]);
  });

  it('asks QEMU itself, and leaves no QEMU behind after going back', async () => {
    const { recording, newRun } = legacy(legacyText(), qemuTarget({}));
    const session = await DebugSession.open(recording, newRun);
    const first = session.target.debuggee!.pid;
    await runCommand(session, 'goto 220');
    const { lines } = await runCommand(session, 'qmp x-query-virtio');
    expect(lines.join('')).toContain('virtio-blk');
    await runCommand(session, 'back');
    const second = session.target.debuggee!.pid;
    expect(second).not.toBe(first);
    expect([runs(first), runs(second)]).toEqual([false, true]);
    await session.close();
    expect(runs(second)).toBe(false);
  });

  it('waits for gdb at a step, says how to attach, and goes on equal', async () => {
    const input = new PassThrough();
    const output = new PassThrough();
    let text = '';
    output.on('data', (piece: Buffer) => {
      text += piece.toString();
      if (text.includes('Enter goes on.')) input.write('\n');
    });
    const result = await debugReplay({ ...legacy(legacyText(), qemuTarget({})), gdb: 220, input, output });
    expect(result).toEqual({ equal: true });
    expect(text).toMatch(/^stopped before 220 W blk0 +QueueNotify/);
    expect(text).toMatch(/\n {2}gdb -p \d+ .*virtio_queue_notify/);
  });
});
