import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Who may import whom (docs/ARCHITECTURE.md). Longer prefixes win. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  trace: ['trace'],
  collector: ['trace', 'collector'],
  analyzer: ['trace', 'analyzer'],
  devices: ['trace', 'devices'],
  viewer: [
    'trace',
    'viewer',
    'analyzer/stats',
    'analyzer/page',
    'analyzer/exports',
    'analyzer/report/document.ts',
  ],
  'viewer/analysis': ['trace', 'viewer', 'analyzer/page'],
  replayer: ['trace', 'devices', 'replayer'],
  cli: ['trace', 'collector', 'analyzer', 'devices', 'replayer', 'cli'],
};
/** Tests may also use fixtures and whatever they check end to end. */
const TESTS_MAY_IMPORT = [
  'trace',
  'collector',
  'analyzer',
  'devices',
  'replayer',
  'cli',
  'viewer',
  'fixtures',
  'scripts',
];

/** Shared with the page: no node:* here. */
const PURE = [
  'trace',
  'analyzer/passes',
  'analyzer/report',
  'analyzer/stats',
  'analyzer/exports',
  'devices',
  'viewer/analysis',
];
const NODE_ALLOWED = ['trace/open.ts', 'trace/writer.ts', 'trace/arrow-file.ts', 'trace/replace-file.ts'];

function sourceFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile() && /\.tsx?$/.test(e.name) && !e.parentPath.includes('node_modules'))
    .map((e) => relative(ROOT, join(e.parentPath, e.name)).split(sep).join('/'));
}

function imports(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((m) => m[1]!);
}

const FILES = Object.keys(MAY_IMPORT)
  .filter((folder) => !folder.includes('/'))
  .flatMap(sourceFiles);
const isTest = (file: string): boolean => /\.test\.tsx?$|\/testing\//.test(file);

function target(file: string, specifier: string): string {
  return relative(ROOT, join(ROOT, dirname(file), specifier))
    .split(sep)
    .join('/');
}

describe('architecture', () => {
  it('sees the source', () => {
    expect(FILES.length).toBeGreaterThan(40);
  });

  it.each(FILES)('%s imports only what its folder may', (file) => {
    const [longest = ''] = Object.keys(MAY_IMPORT)
      .filter((folder) => file.startsWith(`${folder}/`))
      .sort((a, b) => b.length - a.length);
    const allowed = isTest(file) ? TESTS_MAY_IMPORT : MAY_IMPORT[longest]!;
    const wrong = imports(file)
      .filter((s) => s.startsWith('.'))
      .map((s) => target(file, s))
      .filter((t) => !allowed.some((a) => t === a || t.startsWith(`${a}/`)));
    expect(wrong).toEqual([]);
  });

  it('keeps node:* out of what the page shares', () => {
    const wrong = FILES.filter(
      (f) => PURE.some((p) => f.startsWith(`${p}/`)) && !isTest(f) && !NODE_ALLOWED.includes(f),
    ).filter((f) => imports(f).some((s) => s.startsWith('node:')));
    expect(wrong).toEqual([]);
  });

  it('has no import cycle between files', () => {
    const graph = new Map(
      FILES.filter((f) => !isTest(f)).map((f) => [
        f,
        imports(f)
          .filter((s) => s.startsWith('.'))
          .map((s) => target(f, s)),
      ]),
    );
    const done = new Set<string>();
    const path: string[] = [];
    const visit = (file: string): void => {
      if (done.has(file) || !graph.has(file)) return;
      const at = path.indexOf(file);
      expect(at < 0 ? [] : [...path.slice(at), file]).toEqual([]);
      path.push(file);
      for (const next of graph.get(file)!) visit(next);
      path.pop();
      done.add(file);
    };
    for (const file of graph.keys()) visit(file);
  });
});
