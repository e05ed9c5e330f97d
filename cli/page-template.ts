import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TraceError } from '../trace/errors.ts';

/** The page without data, as `npm run build:viewer` makes it. E_NOT_FOUND if that was not run. */
export function pageTemplate(): string {
  // Beside the built command line, or in dist/ when the sources run.
  const places = ['../dist/viewer/index.html', '../viewer/index.html'].map((place) =>
    fileURLToPath(new URL(place, import.meta.url)),
  );
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return readFileSync(found, 'utf8');
  throw new TraceError('E_NOT_FOUND', 'the page template is missing; npm run build:viewer makes it', {
    source: places[0]!,
  });
}
