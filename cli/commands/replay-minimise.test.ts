import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { qemuMissing } from '../../devices/testing/qtest.ts';
import { stockCommand } from '../../replayer/targets/vhost-user/backend.ts';
import { hostileGpu } from '../../replayer/testing/hostile-gpu.ts';
import { run } from '../run.ts';

const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-crash-'));
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

async function trace(...args: string[]): Promise<{ exit: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const exit = await run(args, {
    stdout: (text) => (out += text),
    stderr: (text) => (err += text),
    stdoutIsTerminal: false,
    stderrIsTerminal: false,
    env: {},
  });
  return { exit, out, err };
}

/** Commands (le32 at the begin of what the device reads) that a recording holds, in order. */
function commandsOf(file: string): number[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => /"why":"out","b":"([^"]*)"/.exec(line)?.[1] ?? [])
    .map((bytes) => Buffer.from(bytes, 'base64').readUInt32LE());
}

const CREATE = 0x101;
const TRANSFER = 0x105;
const ATTACH = 0x106;

/** Device models of Debian bookworm that a guest's GPU commands end; later ones may do better. */
const CASES = [
  {
    model: 'qemu',
    there: qemuMissing() === undefined,
    fixture: 'qemu-gpu-transfer-beyond-backing',
    session: [1, 100] as const,
    words: /SIGABRT.*Assertion `offset == 0' failed/s,
    commands: [CREATE, ATTACH, TRANSFER],
  },
  {
    model: 'vhost-user',
    there: stockCommand({ kind: 'gpu' }) !== undefined,
    fixture: 'vhost-user-gpu-transfer-beyond-backing',
    session: [1, 100] as const,
    words: /SIGABRT.*Assertion `offset == 0' failed/s,
    commands: [CREATE, ATTACH, TRANSFER],
  },
];

describe.each(CASES)(
  'a guest that ends its device model, $model',
  ({ model, there, fixture, session, words, commands }) => {
    const kept = join(import.meta.dirname, `../../fixtures/crashes/${fixture}.jsonl`);
    if (!there) console.warn(`SKIPPED: crashes of ${model}, because it is not installed`);

    it.skipIf(!there)(
      'shrinks to the shortest sequence of commands, which does it alone',
      async (context) => {
        const file = join(work, `${model}.jsonl`);
        writeFileSync(file, hostileGpu(...session));
        const whole = await trace('replay', file, '--model', model, '--timeout', '500ms');
        if (!words.test(whole.err)) {
          console.warn(`SKIPPED: ${model} lives through what ended Debian's 7.2: ${whole.out}${whole.err}`);
          context.skip();
        }
        const short = join(work, `${model}-short.jsonl`);
        const flags = [
          '--timeout',
          '150ms',
          '--limit',
          process.env['KEEP'] === undefined ? '30' : '2000',
          '--minimise',
          'crash',
          '-o',
          short,
        ];
        const found = await trace('replay', file, '--model', model, ...flags);
        expect([found.exit, found.err]).toEqual([0, '']);
        expect(found.out).toContain('none of these can be left out');
        expect(commandsOf(short)).toEqual(commands);
        const alone = await trace('replay', short, '--model', model);
        expect(alone.exit).not.toBe(0);
        expect(alone.err).toMatch(words);
        if (process.env['KEEP'] !== undefined) writeFileSync(kept, readFileSync(short));
        console.log(found.out);
      },
      300_000,
    );
  },
);
