import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TraceError } from '../trace/errors.ts';

const notBuilt = (place: string): TraceError =>
  new TraceError('E_NOT_FOUND', 'the page template is missing; npm run build:viewer makes it', {
    source: place,
  });

function built(name: string): string {
  // Beside the built command line, or in dist/ when the sources run.
  const places = [`../dist/viewer/${name}`, `../viewer/${name}`].map((place) =>
    fileURLToPath(new URL(place, import.meta.url)),
  );
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return readFileSync(found, 'utf8');
  throw notBuilt(places[0]!);
}

/** The page without data, as `npm run build:viewer` makes it. E_NOT_FOUND if that was not run. */
export const pageTemplate = (): string => built('index.html');

/** The script with which a page analyses traces that are dropped on it, as a block of the page. Errors: the same. */
export const analysisBlock = (): string => built('analysis.html');
