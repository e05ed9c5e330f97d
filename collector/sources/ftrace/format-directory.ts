import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isTraceError, type TraceError } from '../../../trace/errors.ts';
import { EventFormats } from './event-format.ts';

/**
 * Reads a copy of tracefs' `events` directory: header_page and SYSTEM/EVENT/format.
 * A format that is damaged is left out and its error kept, so that the others serve.
 */
export function readFormatsDirectory(events: string): { formats: EventFormats; errors: TraceError[] } {
  const formats = new EventFormats();
  const errors: TraceError[] = [];
  const attempt = (read: () => void): void => {
    try {
      read();
    } catch (error) {
      if (!isTraceError(error)) throw error;
      errors.push(error);
    }
  };
  const headerPage = join(events, 'header_page');
  if (existsSync(headerPage)) {
    attempt(() => {
      formats.addHeaderPage(readFileSync(headerPage, 'utf8'), headerPage);
    });
  }
  for (const system of subdirectories(events)) {
    for (const event of subdirectories(join(events, system))) {
      const path = join(events, system, event, 'format');
      if (!existsSync(path)) continue;
      attempt(() => {
        formats.add(readFileSync(path, 'utf8'), path, system);
      });
    }
  }
  return { formats, errors };
}

/** Names in a fixed order: which of two formats with one id wins must not hang on the file system. */
function subdirectories(path: string): string[] {
  if (!existsSync(path)) return [];
  const entries = readdirSync(path, { withFileTypes: true });
  return entries
    .filter((e) => e.isDirectory())
    .map((e) => e.name)
    .sort();
}
