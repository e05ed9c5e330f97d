import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Data blocks of real captures for the page without a trace (scripts/samples.mjs makes them); '' if that was not run. */
export function sampleTraces(): string {
  // Beside the built command line, or in dist/ when the sources run.
  const places = ['../dist/samples.html', '../samples.html'].map((place) =>
    fileURLToPath(new URL(place, import.meta.url)),
  );
  const found = places.find((place) => existsSync(place));
  return found === undefined ? '' : readFileSync(found, 'utf8');
}
