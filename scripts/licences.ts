import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

/** One text of name, version, licence and notice of every package. A package without a licence text fails the build. */
export function licenceTexts(folders: readonly string[]): string {
  return [...new Set(folders)].sort().map(licenceText).join('\n');
}

function licenceText(folder: string): string {
  const path = join(ROOT, folder);
  const { name, version, license } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as {
    name: string;
    version: string;
    license?: string;
  };
  const files = readdirSync(path).filter((file) => /^(licen[cs]e|notice|copying|copyright)/i.test(file));
  if (!files.some((file) => /^(licen[cs]e|copying)/i.test(file)))
    throw new Error(`${folder}: no licence text`);
  const title = `${name} ${version} (${license ?? 'licence below'})`;
  const texts = files
    .sort()
    .map((file) => readFileSync(join(path, file), 'utf8').replaceAll('\r\n', '\n').trim());
  return ['='.repeat(78), title, '='.repeat(78), '', texts.join('\n\n'), ''].join('\n');
}
