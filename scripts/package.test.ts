import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const MANY_FILES = join(ROOT, 'dist/cli/main.js');
const ONE_FILE = join(ROOT, 'dist/trace.mjs');
const MAX_BYTES = 5_000_000;

const built = existsSync(MANY_FILES) && existsSync(ONE_FILE);
if (!built) console.warn('SKIPPED: the package and dist/trace.mjs are not checked: npm run build makes them');

interface PackageFacts {
  version: string;
  dependencies?: Record<string, string>;
  devDependencies: Record<string, string>;
}
const facts = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as PackageFacts;

describe.skipIf(!built)('the npm package', () => {
  let packed: { size: number; unpackedSize: number; files: { path: string }[] };
  let paths: string[];
  beforeAll(() => {
    const text = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    packed = (JSON.parse(text) as [typeof packed])[0];
    paths = packed.files.map(({ path }) => path);
  });

  it('has at most 5 MB, packed and unpacked', () => {
    expect(packed.size).toBeLessThan(packed.unpackedSize);
    expect(packed.unpackedSize).toBeLessThanOrEqual(MAX_BYTES);
  });

  it('holds the command line with the page in it, the documents and the licences', () => {
    expect(paths).toEqual(
      expect.arrayContaining([
        'LICENSE',
        'README.md',
        'package.json',
        'dist/LICENSES.txt',
        'dist/trace.mjs',
        'docs/ERRORS.md',
        'docs/FORMAT.md',
        'docs/REPORT.md',
      ]),
    );
  });

  it('needs no other package: what it uses is inside', () => {
    expect(facts.dependencies).toBeUndefined();
  });

  it('holds no source, test, capture, native code or engine', () => {
    const kinds =
      /^(dist\/.*\.(js|mjs|txt|html|json)|dist\/man\/.*\.1|docs\/.*\.(md|txt|png)|LICENSE|README\.md|package\.json)$/;
    expect(paths.filter((path) => !kinds.test(path))).toEqual([]);
    expect(paths.filter((path) => /\.test\.|fixtures|captures\/|bench|clickhouse/i.test(path))).toEqual([]);
    // ELF, WebAssembly, PE
    const magic = ['\x7fELF', '\0asm', 'MZ'];
    const native = paths.filter((path) => {
      const head = readFileSync(join(ROOT, path)).toString('latin1', 0, 4);
      return magic.some((m) => head.startsWith(m));
    });
    expect(native).toEqual([]);
  });

  it('names every bundled package with its version and licence text', () => {
    const text = readFileSync(join(ROOT, 'dist/LICENSES.txt'), 'utf8');
    const inside = pick(['apache-arrow', 'commander', 'fzstd', 'preact']);
    for (const [name, version] of Object.entries(inside)) expect(text).toContain(`\n${name} ${version} (`);
    for (const name of ['flatbuffers', 'tslib']) expect(text).toContain(`\n${name} `);
    expect(text.split('\n').length).toBeGreaterThan(300);
    // A copy of the one file alone carries them too.
    const lines = readFileSync(ONE_FILE, 'utf8').split('\n');
    const carried = lines.filter((line) => line.startsWith('// ')).map((line) => line.slice(3));
    expect(carried.join('\n')).toContain(text.trimEnd());
  });
});

const pick = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, facts.devDependencies[name]!]));

describe.skipIf(!built)('dist/trace.mjs, alone in a folder', () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-alone-'));
    for (const place of ['alone', 'work/one', 'work/many']) mkdirSync(join(dir, place), { recursive: true });
    copyFileSync(ONE_FILE, join(dir, 'alone/trace.mjs'));
    execFileSync('tar', ['xf', join(ROOT, 'fixtures/captures/P1.tar.gz'), '-C', dir]);
  });
  afterAll(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  /** The same command line by the one file and by the many, each in a folder of its own (unless one is named). */
  function both(args: readonly string[], where?: string): [Ran, Ran] {
    const one = run(join(dir, 'alone/trace.mjs'), args, where ?? 'work/one');
    return [one, run(MANY_FILES, args, where ?? 'work/many')];
  }
  interface Ran {
    code: number | null;
    out: string;
    err: string;
  }
  function run(main: string, args: readonly string[], cwd: string): Ran {
    const child = spawnSync(process.execPath, [main, ...args], { cwd: join(dir, cwd), encoding: 'utf8' });
    return { code: child.status, out: child.stdout, err: child.stderr };
  }

  it('tells the version of the package, and the same help', () => {
    const [one, many] = both(['--version']);
    expect(one).toEqual({ code: 0, out: `${facts.version}\n`, err: '' });
    expect(many).toEqual(one);
    for (const args of [['--help'], ['help', 'import'], ['nonsense'], ['info', 'none']]) {
      const [a, b] = both(args);
      expect(a).toEqual(b);
      expect(a.out + a.err).not.toBe('');
    }
  });

  it('can be started by its name', () => {
    expect(statSync(ONE_FILE).mode & 0o111).toBe(0o111);
    expect(readFileSync(ONE_FILE, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
  });

  it('imports, tells, analyses and shows a capture as dist/cli/main.js does', () => {
    const [imported, same] = both(['import', '../../P1', '-o', 'p1']);
    expect(imported).toMatchObject({ code: 0, err: '' });
    expect(imported.out).toContain('events from xen, dom0, dm-log');
    expect(imported).toEqual(same);
    const files = readdirSync(join(dir, 'work/one/p1')).filter((name) => name.endsWith('.arrows'));
    expect(files.length).toBeGreaterThanOrEqual(3);
    for (const name of files) {
      const [a, b] = ['one', 'many'].map((k) => readFileSync(join(dir, 'work', k, 'p1', name)));
      expect(a!.equals(b!), name).toBe(true);
    }
    for (const args of [
      ['info', 'p1'],
      ['analyze', 'p1', '--by', 'register'],
      ['analyze', 'p1', '--json'],
    ]) {
      // Of one trace: when it was made stands in it.
      const [a, b] = both(args, 'work/one');
      expect(a.code, a.err).toBe(0);
      expect(a).toEqual(b);
    }
  });

  it('writes the same page', () => {
    const page = (main: string): Buffer => {
      expect(run(main, ['view', 'p1', '-o', 'page.html'], 'work/one').code).toBe(0);
      return readFileSync(join(dir, 'work/one/page.html'));
    };
    const one = page(join(dir, 'alone/trace.mjs'));
    expect(one.length).toBeGreaterThan(150_000);
    expect(one.equals(page(MANY_FILES))).toBe(true);
  });
});

describe('start-up', () => {
  /** What cli/main.ts imports before it runs a command: files of the project and packages, all the way down. */
  function loadedAtStart(file: string, seen = new Set<string>()): Set<string> {
    if (seen.has(file)) return seen;
    seen.add(file);
    const text = readFileSync(join(ROOT, file), 'utf8');
    for (const [, specifier] of text.matchAll(/^(?:import|export)\b(?! type)[^;]*? from '([^']+)'/gm)) {
      if (specifier!.startsWith('.')) {
        loadedAtStart(relative(ROOT, join(ROOT, dirname(file), specifier!)), seen);
      } else seen.add(specifier!);
    }
    return seen;
  }

  it('loads neither Arrow nor decoders nor the analysis', () => {
    const loaded = [...loadedAtStart('cli/run.ts', loadedAtStart('cli/main.ts'))];
    expect(loaded).toContain('cli/commands/analyze.ts');
    expect(loaded).toContain('commander');
    const packages = loaded.filter((name) => !name.endsWith('.ts') && !name.startsWith('node:'));
    expect(packages).toEqual(['commander']);
    const heavy = /^collector\/(sources|import)|^analyzer\/(report|page|passes)|^trace\/(open|writer|arrow)/;
    expect(loaded.filter((name) => heavy.test(name))).toEqual([]);
  });

  it('of a second thread loads nothing of the command line', () => {
    const loaded = [...loadedAtStart('analyzer/threads/serve-dom0.ts', loadedAtStart('cli/main.ts'))];
    expect(loaded).toContain('analyzer/dom0-side.ts');
    expect(loaded.filter((name) => /^(cli|collector|analyzer\/report|analyzer\/stats)\//.test(name))).toEqual(
      ['cli/main.ts'],
    );
    expect(loaded.filter((name) => !name.endsWith('.ts') && !name.startsWith('node:'))).toEqual([]);
  });
});
