import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FileSource } from '../input/file-source.ts';
import { RAW_FORMATS } from './index.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const SAMPLES = join(HERE, '..', '..', 'fixtures', 'raw');

/** Names of formats that the content of a sample file is taken for. */
function takenFor(path: string): string[] {
  const source = new FileSource(path);
  const head = new Uint8Array(Math.min(source.size, 64 * 1024));
  source.read(0, head);
  const names = RAW_FORMATS.filter((f) => f.sniff(head, source)).map((f) => f.name);
  source.close();
  return names;
}

describe('raw formats', () => {
  it('are all listed: one file of this folder a format', () => {
    const exported = readdirSync(HERE)
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
      .flatMap((name) => [
        ...readFileSync(join(HERE, name), 'utf8').matchAll(/export const (\w+Format): RawFormat/g),
      ]);
    const listed = readFileSync(join(HERE, 'index.ts'), 'utf8');
    expect(exported.length).toBe(RAW_FORMATS.length);
    for (const [, name] of exported) expect(listed).toContain(`${name},`);
  });

  it('each have a sample in fixtures/raw', () => {
    const files = readdirSync(SAMPLES, { recursive: true, withFileTypes: true }).filter((e) => e.isFile());
    const found = new Set(files.flatMap((e) => takenFor(join(e.parentPath, e.name))));
    // Debian's QEMU is built without the simple backend: simpletrace is only written by fixtures/simpletrace-writer.ts.
    const expected = RAW_FORMATS.map((f) => f.name).filter((name) => name !== 'simpletrace');
    expect(expected.filter((name) => !found.has(name))).toEqual([]);
  });
});
