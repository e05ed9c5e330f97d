import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LISTING_TYPE } from './listing.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

interface Extension {
  version: string;
  contributes: {
    languages: { id: string; mimetypes: string[] }[];
    breakpoints: { language: string }[];
    debuggers: {
      type: string;
      args: string[];
      configurationAttributes: {
        launch: { properties: Record<string, { enum?: string[] }>; required: string[] };
      };
      initialConfigurations: Record<string, unknown>[];
    }[];
  };
}

describe('editors/vscode/package.json', () => {
  const extension = JSON.parse(read('editors/vscode/package.json')) as Extension;
  const { languages, breakpoints, debuggers } = extension.contributes;
  const [debug] = debuggers;
  const { properties, required } = debug!.configurationAttributes.launch;

  it('knows the launch arguments that the debug adapter takes, no more and no fewer', () => {
    const taken = (path: string, pattern: RegExp): string[] =>
      [...read(path).matchAll(pattern)].map((found) => found[1]!);
    const all = [
      ...taken('cli/commands/debug-adapter.ts', /(?:args\.(?:get|maybe)|\btext|\blist)\('(\w+)'/g),
      ...taken('replayer/debug-adapter/adapter.ts', /args\.maybe\('(stopOnEntry)'/g),
    ];
    expect(Object.keys(properties).sort()).toEqual(all.sort());
    expect(required).toEqual(['trace']);
    for (const key of Object.keys(debug!.initialConfigurations[0]!))
      expect(['type', 'request', 'name', ...all]).toContain(key);
  });

  it('lets breakpoints be set in the listing, and starts the adapter', () => {
    expect(languages[0]).toMatchObject({ mimetypes: [LISTING_TYPE] });
    expect(breakpoints).toEqual([{ language: languages[0]!.id }]);
    expect(debug!.args).toEqual(['debug-adapter']);
    expect(properties['model']!.enum).toEqual(
      /MODELS = \[(.*)\] as const/
        .exec(read('cli/commands/replay-options.ts'))![1]!
        .split(', ')
        .map((name) => name.slice(1, -1)),
    );
    expect(extension.version).toBe((JSON.parse(read('package.json')) as { version: string }).version);
  });

  it('is what the documentation shows', () => {
    expect(read('docs/REPLAY-DEBUG.md')).toContain(`"type": "${debug!.type}"`);
  });
});
