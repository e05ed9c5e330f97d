import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { importAndAnalyze } from '../../fixtures/analyzed.ts';
import { withCapture } from '../../fixtures/captures.ts';

/** Keys of a document, but those below `plan` and `host`, which other pages describe, and below `by`, which are values. */
function keys(value: unknown, into: Set<string>): void {
  if (Array.isArray(value)) for (const item of value) keys(item, into);
  else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      into.add(key);
      if (!['plan', 'host', 'by'].includes(key)) keys(inner, into);
    }
  }
}

it('docs/REPORT.md names every key of a report', async () => {
  const text = readFileSync(
    join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'docs', 'REPORT.md'),
    'utf8',
  );
  const { report } = await withCapture('P1', (dir) => importAndAnalyze([dir], ['device']));
  const found = new Set<string>();
  keys(JSON.parse(JSON.stringify(report)), found);
  expect(found.size).toBeGreaterThan(60);
  expect([...found].filter((key) => !new RegExp(`\\b${key}\\b`).test(text))).toEqual([]);
});
