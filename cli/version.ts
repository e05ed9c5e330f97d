import { readFileSync } from 'node:fs';

/** Version in package.json, which lies one folder up from the sources and two from the built files. */
export function toolVersion(): string {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const found = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as {
        name?: unknown;
        version?: unknown;
      };
      if (found.name === 'ioreq-trace' && typeof found.version === 'string') return found.version;
    } catch {
      // Not there: the next place.
    }
  }
  return '0.0.0';
}

export const TOOL_NAME = 'ioreq-trace';

/** Date of the manual pages: of the release, or of the last change to what they say. */
export const RELEASE_DATE = '2026-11-23';
