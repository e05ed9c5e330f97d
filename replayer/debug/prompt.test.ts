import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { debugReplay } from './index.ts';
import { legacy, legacyPresent, legacyText, withWrongRead } from './testing/legacy.ts';

function collector(): { output: PassThrough; text: () => string } {
  const output = new PassThrough();
  let text = '';
  output.on('data', (piece: Buffer) => (text += piece.toString()));
  return { output, text: () => text };
}

async function scripted(
  script: string,
  text?: string,
): Promise<{ text: string; equal: boolean | undefined }> {
  const folder = mkdtempSync(join(tmpdir(), 'debug-script-'));
  try {
    const file = join(folder, 'script');
    writeFileSync(file, script);
    const seen = collector();
    const { equal } = await debugReplay({ ...legacy(text), script: file, output: seen.output });
    return { text: seen.text(), equal };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function typed(lines: readonly string[]): Promise<{ text: string; equal: boolean | undefined }> {
  const input = new PassThrough();
  const seen = collector();
  input.end(lines.map((line) => `${line}\n`).join(''));
  const { equal } = await debugReplay({ ...legacy(), input, output: seen.output });
  return { text: seen.text(), equal };
}

const TOUR = `
# what the device is, and how its driver finds it
list 0 4
step 3
continue blk0.Status write if value & 4
device blk0
notify blk0
chain
memory 0x4ba64000 32
step 2
diff 116 120
break blk0 queue 0 if type == write && sector >= 8000
break
continue
chain
list
back
reverse
delete 1
finish
divergences
`;

describe.skipIf(!legacyPresent())('the prompt of a debugged replay', () => {
  it('runs a script; the text is the golden one', async () => {
    const { text, equal } = await scripted(TOUR);
    expect(equal).toBe(true);
    await expect(text).toMatchFileSnapshot('testing/tour.golden.txt');
  });

  it('finds a changed read, and says so in the end', async () => {
    const { text, equal } = await scripted(
      'continue\nreverse Status write\nfinish',
      withWrongRead(legacyText(), 196),
    );
    expect(equal).toBe(false);
    expect(text).toContain(
      '(replay) continue\nstep 196: blk 0 InterruptStatus value: recorded 0x00000005, got 0x00000001\n=> 197 W blk0',
    );
    expect(text).toContain('not equal: 1 divergence\n');
  });

  it('names file and line of a command that is wrong, and ends there', async () => {
    const wrong = scripted('step\n\nfly\nstep');
    await expect(wrong).rejects.toMatchObject({ code: 'E_USAGE' });
    await expect(wrong).rejects.toThrow(/script: line 3: there is no command fly/);
    await expect(debugReplay({ ...legacy(), script: '/nowhere/script' })).rejects.toMatchObject({
      code: 'E_UNREADABLE',
    });
  });

  it('goes on past mistakes, repeats on an empty line, and takes the beginnings of names', async () => {
    const { text, equal } = await typed(['ste', '', 'd', 'fly', 'x 0 16', 'x zero', 'wh', 'quit', 'step']);
    expect(equal).toBeUndefined();
    const lines = text.split('\n').map((line) => line.replace(/^\(replay\) /, ''));
    expect(lines.filter((line) => line.startsWith('=> '))).toEqual([
      expect.stringMatching(/^=> 1 R blk0 +Version/),
      expect.stringMatching(/^=> 2 R blk0 +DeviceID/),
      '=> the end of the recording',
      '=> the end of the recording',
    ]);
    expect(text).toContain('there is no command fly');
    expect(text).toContain('not RAM');
    expect(text).toContain('a number is needed; got zero');
  });

  it('says what there is to attach to, and what there is not', async () => {
    const { text } = await typed(['attach', 'qmp query-status', 'help break']);
    expect(text).toContain('built-in: the device models are this process itself');
    expect(text).toContain('built-in has no QMP');
    expect(text).toContain('CONDITION: value, size');
    await expect(debugReplay({ ...legacy(), gdb: 5, output: new PassThrough() })).rejects.toMatchObject({
      code: 'E_USAGE',
    });
  });
});
