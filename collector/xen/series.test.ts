import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { VIRQ_FLAG } from '../../trace/events.ts';
import { KNOWN } from '../sources/xentrace/records.ts';

const HERE = import.meta.dirname;
const FIRST_ID = 0x88001;
const SERIES = readdirSync(HERE, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
  .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));

interface Patch {
  name: string;
  text: string;
  /** Lines that it adds, by file. */
  added: Map<string, string[]>;
}

function patchesOf(series: string): Patch[] {
  const names = readdirSync(join(HERE, series)).sort();
  return names.map((name) => {
    const text = readFileSync(join(HERE, series, name), 'utf8');
    const added = new Map<string, string[]>();
    for (const part of text.split(/^diff --git /m).slice(1)) {
      const file = /^\+\+\+ b\/(.*)$/m.exec(part)![1]!;
      const lines = part.split('\n').filter((line) => line.startsWith('+') && !line.startsWith('+++'));
      added.set(
        file,
        lines.map((line) => line.slice(1)),
      );
    }
    return { name, text, added };
  });
}

/** What a series adds to files whose name matches, as one text. */
function addedTo(series: string, file: RegExp): string {
  const lines = patchesOf(series).flatMap((p) => [...p.added].flatMap(([f, l]) => (file.test(f) ? l : [])));
  return lines.join('\n');
}

interface Layout {
  id: number;
  name: string;
  words: number;
}

/** The records that the public header of a series defines: id from the macro, words from the comment. */
function headerRecords(series: string): Layout[] {
  const text = addedTo(series, /public\/trace\.h$/);
  const base = Number(/#define TRC_HVM_DM\s+(0x[0-9a-f]+)/.exec(text)![1]);
  const words = new Map<string, number>();
  let record = '';
  for (const line of text.split('\n')) {
    record = /^ \* (TRC_[A-Z0-9_]+):/.exec(line)?.[1] ?? record;
    const word = /^ \* {3}(?:\d-)?(\d) {2,4}\S/.exec(line)?.[1];
    if (word !== undefined) words.set(record, Number(word) + 1);
  }
  return [...text.matchAll(/#define (TRC_\w+)\s+\(TRC_HVM_DM \+ (0x[0-9a-f]+)\)/g)].map(
    ([, name, minor]) => ({
      id: base + Number(minor),
      name: name!,
      words: words.get(name!) ?? 0,
    }),
  );
}

/** The calls of TRACE_TIME() in a series: record and number of words that are written. */
function traceCalls(series: string): [string, number][] {
  const text = addedTo(series, /\.c$/);
  return [...text.matchAll(/TRACE_TIME\((TRC_\w+)/g)].map((match) => {
    let depth = 1;
    let words = 0;
    for (let i = match.index + 'TRACE_TIME('.length; depth > 0; i++) {
      if (text[i] === '(') depth++;
      if (text[i] === ')') depth--;
      if (text[i] === ',' && depth === 1) words++;
    }
    return [match[1]!, words];
  });
}

describe('the records of every series', () => {
  const known = KNOWN.filter((k) => k.id >= FIRST_ID && k.id < FIRST_ID + 0x1000).map(
    ({ id, name, words }) => ({
      id,
      // What is not Arm's alone has another prefix in Xen.
      name: `TRC_${name.startsWith('arm_ioreq') ? name.replace('arm', 'hvm') : name}`.toUpperCase(),
      words,
    }),
  );

  it.each(SERIES)('%s: ids, names and words are those that the decoder knows', (series) => {
    expect(headerRecords(series)).toEqual(known);
  });

  it.each(SERIES)('%s: each record is written, with all of its words', (series) => {
    const calls = traceCalls(series).sort(([a], [b]) => a.localeCompare(b, 'en'));
    const want = known.map(({ name, words }): [string, number] => [name, words]);
    expect(calls).toEqual(want.sort(([a], [b]) => a.localeCompare(b, 'en')));
  });

  it.each(SERIES)('%s: flags are those of the trace', (series) => {
    const text = addedTo(series, /public\/trace\.h$/);
    const flags = [...text.matchAll(/#define TRC_ARM_VIRQ_F_(\w+)\s+(0x[0-9a-f]+)/g)].map(
      ([, name, value]) => [name === 'VISIBLE' ? 'IN_LR' : name, Number(value)],
    );
    expect(Object.fromEntries(flags)).toEqual(VIRQ_FLAG);
  });

  it('are documented alike in all of them', () => {
    const texts = new Set(SERIES.map((series) => addedTo(series, /public\/trace\.h$/)));
    expect(texts.size).toBe(1);
  });

  it.each(['4.17', '4.18'])('%s: xentrace_format shows every word', (series) => {
    const lines = addedTo(series, /xentrace\/formats$/)
      .split('\n')
      .filter((line) => line !== '');
    const shown = lines.map((line) => ({
      id: Number(line.split(/\s/)[0]),
      words: Math.max(...[...line.matchAll(/%\((\d)\)/g)].map(([, n]) => Number(n))),
    }));
    expect(shown).toEqual(known.map(({ id, words }) => ({ id, words })));
  });
});

describe('the form of the patches', () => {
  it('there is a series for each version', () => {
    expect(SERIES).toEqual(['4.17', '4.18', '4.19', '4.20', '4.21', '4.22', 'master']);
  });

  it.each(SERIES)('%s: numbered, signed off, in the style of Xen', (series) => {
    const patches = patchesOf(series);
    const faults: string[] = [];
    patches.forEach(({ name, text, added }, i) => {
      const tag = `${series === 'master' ? '' : `${series} `}${i + 1}/${patches.length}`;
      if (!text.includes(`\nSubject: [PATCH ${tag}] `)) faults.push(`${name}: no [PATCH ${tag}]`);
      const author = /^From: (.+ <.+@.+\.invalid>)$/m.exec(text)?.[1];
      if (author === undefined || !text.includes(`\nSigned-off-by: ${author}\n---\n`))
        faults.push(`${name}: author has not signed off`);
      const body = text.slice(text.indexOf('\n\n'), text.indexOf('\n---\n'));
      for (const line of body.split('\n')) if (line.length > 75) faults.push(`${name}: long line: ${line}`);
      for (const [file, lines] of added)
        for (const line of lines) {
          if (/[ \t]$/.test(line)) faults.push(`${file}: blank at the end: ${line}`);
          if (!/\.[ch]$/.test(file)) continue;
          if (line.includes('\t')) faults.push(`${file}: tab: ${line}`);
          if (line.length > 80) faults.push(`${file}: long line: ${line}`);
        }
    });
    expect(faults).toEqual([]);
  });
});

const scratch = mkdtempSync(join(tmpdir(), 'xen-series-'));
afterAll(() => {
  rmSync(scratch, { recursive: true });
});

function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function apply(tree: string): { status: number | null; out: string } {
  const { status, stdout, stderr } = spawnSync('bash', [join(HERE, 'apply.sh'), tree], { encoding: 'utf8' });
  return { status, out: (stdout + stderr).replaceAll(tree, 'TREE') };
}

describe('apply.sh refuses', () => {
  const makefile = (minor: string): string =>
    `export XEN_VERSION       = 4\nexport XEN_SUBVERSION    = ${minor}\n`;
  const tree = (name: string, minor: string, header = ''): string => {
    const dir = join(scratch, name);
    put(join(dir, 'xen/Makefile'), makefile(minor));
    put(join(dir, 'xen/include/public/trace.h'), header);
    put(join(dir, 'xen/arch/arm/vtimer.c'), '');
    return dir;
  };
  const cases: [string, string, string][] = [
    ['what is no Xen', scratch, 'TREE is not a Xen source tree'],
    ['a version that is too old', tree('old', '16'), 'there is no series for Xen 4.16'],
    ['other trace points', tree('other', '20', '#define TRC_ARM_S2_ABORT'), 'has other trace points'],
    ['a tree without the files', tree('bare', '20'), 'Xen 4.20: TREE has no tools/xentrace/xenalyze.c'],
  ];
  it.each(cases)('%s', (_, dir, text) => {
    const { status, out } = apply(dir);
    expect(out).toContain(text);
    expect(out.trim().split('\n')).toHaveLength(1);
    expect(status).toBe(1);
  });
});

// A clone of Xen (xenbits.xen.org/git-http/xen.git), bare or not, with its tags.
const GIT = process.env['IOREQ_TRACE_XEN_GIT'];
const git = (...args: string[]): string =>
  execFileSync('git', ['-C', GIT!, ...args], { encoding: 'utf8', maxBuffer: 1 << 26 });
if (GIT === undefined)
  console.warn('SKIPPED: the series on the sources of Xen: IOREQ_TRACE_XEN_GIT is not set');

describe.skipIf(GIT === undefined)('apply.sh on the sources of Xen', () => {
  /** The first and the last release of a version: what lies between them differs less. */
  const basesOf = (series: string): string[] => {
    if (series === 'master') return ['master'];
    const tags = git('tag', '--list', `RELEASE-${series}.*`, '--sort=version:refname').trim().split('\n');
    return [...new Set([tags[0]!, tags.at(-1)!])];
  };
  const checkOut = (base: string, series: string): string => {
    const dir = join(scratch, base);
    const files = new Set(patchesOf(series).flatMap((p) => [...p.added.keys()]));
    mkdirSync(dir);
    const tar = join(scratch, `${base}.tar`);
    git('archive', '-o', tar, base, 'xen/Makefile', ...files);
    execFileSync('tar', ['-C', dir, '-xf', tar]);
    return dir;
  };

  it.each(SERIES.flatMap((s) => (GIT === undefined ? [] : basesOf(s).map((b) => [b, s] as const))))(
    '%s: once, and no second time',
    (base, series) => {
      const dir = checkOut(base, series);
      const version = /SUBVERSION\s+= (\d+)/.exec(readFileSync(join(dir, 'xen/Makefile'), 'utf8'))![1]!;
      const count = patchesOf(series).length;
      expect(apply(dir)).toEqual({
        status: 0,
        out: `Xen 4.${version} in TREE: ${count} patches of ${series} applied\n`,
      });
      expect(existsSync(join(dir, 'xen/common/ioreq.c.orig'))).toBe(false);
      expect(apply(dir)).toEqual({
        status: 0,
        out: `Xen 4.${version} in TREE has the trace points already\n`,
      });
    },
  );

  it('changes nothing if one patch does not fit', () => {
    const dir = checkOut('RELEASE-4.20.1', '4.20');
    const vgic = join(dir, 'xen/arch/arm/vgic.c');
    put(vgic, readFileSync(vgic, 'utf8').replace('if ( !level )', 'if ( level == false )'));
    const before = execFileSync('find', [dir, '-type', 'f', '-exec', 'sha256sum', '{}', '+'], {
      encoding: 'utf8',
    });
    const { status, out } = apply(dir);
    expect(out).toMatch(/^apply.sh: Xen 4.20: 4.20\/0005-[\w-]+\.patch does not apply: /);
    expect(status).toBe(1);
    const after = execFileSync('find', [dir, '-type', 'f', '-exec', 'sha256sum', '{}', '+'], {
      encoding: 'utf8',
    });
    expect(after).toBe(before);
  });

  it('makes commits in a git work tree', () => {
    const dir = checkOut('RELEASE-4.18.2', '4.18');
    const inTree = (...args: string[]): string =>
      execFileSync('git', ['-C', dir, '-c', 'user.name=x', '-c', 'user.email=x@x.invalid', ...args], {
        encoding: 'utf8',
      });
    inTree('init', '-q');
    inTree('add', '.');
    inTree('commit', '-qm', 'base');
    expect(apply(dir).status).toBe(0);
    const subjects = inTree('log', '--format=%s', '--reverse').trim().split('\n');
    expect(subjects).toEqual([
      'base',
      'xen/trace: provide TRACE_TIME()',
      'public/trace: define records about device models on Arm',
      'xen/arm: trace stage-2 aborts and returns from them',
      'xen/ioreq: remember the id of an ioreq server',
      'xen/ioreq: trace requests and their completion',
      'xen/arm: vgic: trace virtual interrupts',
      'xen/arm: trace the CNTVOFF of domains',
      'tools/xentrace: formats of device model records',
    ]);
    expect(inTree('status', '--porcelain')).toBe('');
  });
});
