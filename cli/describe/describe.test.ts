import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { trace } from '../testing/command-line.ts';

const work = mkdtempSync(join(tmpdir(), 'describe-'));
afterAll(() => {
  rmSync(work, { recursive: true });
});

function missing(program: string): boolean {
  const lacks = spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0;
  if (lacks) console.warn(`skipped: no ${program} here`);
  return lacks;
}

const NAMES = [
  ...['record', 'probe', 'import', 'info', 'analyze', 'diff', 'export', 'sql', 'load', 'trend', 'view'],
  ...['replay', 'debug-adapter', 'completion', 'man'],
];

/** What the shell offers for the words so far; the last one is being typed. */
type Complete = (words: readonly string[]) => string[];

/** The same expectations for every shell. */
function checkShell(complete: Complete): void {
  expect(complete(['re'])).toEqual(['record', 'replay']);
  expect(complete([''])).toEqual(expect.arrayContaining(NAMES));
  expect(complete(['record', '--dom'])).toEqual(['--domid']);
  expect(complete(['record', '--hooks', 'ioe'])).toEqual(['ioeventfd']);
  expect(complete(['replay', '--model', ''])).toEqual(['builtin', 'qemu', 'vhost-user']);
  expect(complete(['completion', 'z'])).toEqual(['zsh']);
  expect(complete(['help', 'vi'])).toEqual(['view']);
}

describe.skipIf(missing('bash'))('completion in bash', () => {
  const complete: Complete = (words) => {
    // As readline cuts words: an = stands alone.
    const cut = words
      .flatMap((word) => word.split(/(=)/))
      .filter((w, n, all) => w !== '' || n === all.length - 1);
    const script = `source "$1"; shift; COMP_WORDS=(trace "$@"); COMP_CWORD=$#; _trace; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', join(work, 'trace.bash'), ...cut], {
      encoding: 'utf8',
      cwd: work,
    });
    expect(stderr).toBe('');
    return stdout.split('\n').filter((line) => line !== '');
  };

  it('offers commands, options, values and paths', async () => {
    writeFileSync(join(work, 'trace.bash'), (await trace('completion', 'bash')).out);
    mkdirSync(join(work, 'b1 x.trace'));
    checkShell(complete);
    expect(complete(['record', '--hooks', 'ioreq,irq'])).toEqual(['ioreq,irq', 'ioreq,irqfd']);
    expect(complete(['replay', '--model=q'])).toEqual(['qemu']);
    expect(complete(['analyze', 'b1'])).toEqual(['b1 x.trace']);
    expect(complete(['record', '-o', 'b1'])).toEqual(['b1 x.trace']);
    expect(complete(['record', '--domid', ''])).toEqual([]);
  });
});

describe.skipIf(missing('fish'))('completion in fish', () => {
  it('offers commands, options and values', async () => {
    const file = join(work, 'trace.fish');
    writeFileSync(file, (await trace('completion', 'fish')).out);
    checkShell((words) => {
      const script = `source ${file}; complete -C ${JSON.stringify(['trace', ...words].join(' '))}`;
      const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', script], {
        encoding: 'utf8',
        cwd: work,
        env: { ...process.env, HOME: work },
      });
      expect(stderr).toBe('');
      const offered = stdout.split('\n').filter((line) => line !== '');
      return offered.map((line) => line.replace(/\t.*/, '')).sort();
    });
  });
});

describe.skipIf(missing('zsh'))('completion in zsh', () => {
  it('is a script that zsh takes, with every command and option', async () => {
    const { out } = await trace('completion', 'zsh');
    const file = join(work, '_trace');
    writeFileSync(file, out);
    const script = `autoload -Uz compinit; compinit -u -D; source ${file}; print $_comps[trace]; _trace_commands() { :; }`;
    const { stdout, stderr, status } = spawnSync('zsh', ['-f', '-c', script], {
      encoding: 'utf8',
      cwd: work,
    });
    expect({ stdout: stdout.trim(), stderr, status }).toEqual({ stdout: '_trace', stderr: '', status: 0 });
  });

  it('offers commands, options and values at a terminal of its own', async () => {
    writeFileSync(join(work, '_trace'), (await trace('completion', 'zsh')).out);
    const driver = `
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1=; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -D; source ${join(work, '_trace')}; zstyle ':completion:*' list-colors ''; stty -echo; setopt no_beep; LISTMAX=1000; print READY"
zpty -r z out '*READY*READY*' 2>/dev/null || zpty -r z out '*READY*'
for line in "$@"; do
  zpty -n -w z "$line"$'\\t'
  sleep 0.7
  got=
  while zpty -r -t z part; do got+=$part; done
  print -r -- "LINE $got"
  zpty -n -w z $'\\C-u'
  sleep 0.1
done
zpty -d z`;
    const { stdout } = spawnSync(
      'zsh',
      ['-f', '-c', driver, 'zsh', 'trace debug', 'trace record --domi', 'trace completion z'],
      {
        encoding: 'utf8',
        cwd: work,
        timeout: 30_000,
        env: { ...process.env, TERM: 'dumb' },
      },
    );
    const lines = stdout.split('LINE ').slice(1);
    expect(lines[0]).toContain('debug-adapter');
    expect(lines[1]).toContain('--domid');
    expect(lines[2]).toContain('zsh');
  }, 40_000);
});

describe('manual pages', () => {
  it('say of every command what --help says', async () => {
    const { code, out } = await trace('man', '--output', join(work, 'man'));
    expect({ code, out }).toEqual({
      code: 0,
      out: `${readdirSync(join(work, 'man')).length} pages in ${join(work, 'man')}\n`,
    });
    const { out: help } = await trace('--help');
    const commands = [
      ...help.matchAll(/^ {2}([a-z-]+)(?:\|[a-z-]+)?(?: \[options\])?(?: [<[].*?)? {2,}/gm),
    ].map(([, name]) => name!);
    expect(commands).toEqual(expect.arrayContaining(NAMES));
    const pages = commands.filter((name) => name !== 'help').map((name) => `trace-${name}.1`);
    expect(readdirSync(join(work, 'man')).sort()).toEqual(['trace.1', ...pages].sort());
    expect((await trace('man', 'record')).out).toContain('\\fB\\-\\-domid\\fR \\fIdomain\\fR');
    expect((await trace('man', 'nonsense')).err).toMatch(
      /^trace: E_USAGE: no such command; expected record, /,
    );
    writeFileSync(join(work, 'file'), '');
    expect(await trace('man', '-o', join(work, 'file'))).toMatchObject({ code: 4 });
  });

  it.skipIf(missing('mandoc'))('are without fault for mandoc', async () => {
    await trace('man', '--output', join(work, 'man'));
    for (const name of readdirSync(join(work, 'man'))) {
      const { stdout } = spawnSync('mandoc', ['-Tlint', '-Wwarning', join(work, 'man', name)], {
        encoding: 'utf8',
      });
      expect(stdout).toBe('');
    }
  });

  it.skipIf(missing('groff'))('are without fault for groff', async () => {
    const { out } = await trace('man', 'replay');
    const { stdout, stderr } = spawnSync('groff', ['-man', '-ww', '-Tutf8', '-P-cbou'], {
      input: out,
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    expect(stdout).toContain('--model');
    expect(stdout).toMatch(/EXIT STATUS/);
  });
});
