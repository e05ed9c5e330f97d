import { join, relative } from 'node:path';
import type { Plugin } from 'vite';

const ROOT = join(import.meta.dirname, '..');

/**
 * Collects which npm packages the code of a build comes from, as folders relative to the checkout. The plugins
 * made of one collector share what they saw: a page's worker is a build of its own, inside that of the page.
 */
export class PackageCollector {
  readonly #folders = new Set<string>();

  get folders(): string[] {
    return [...this.#folders].sort();
  }

  /** With a file name, the plugin also writes the list, as JSON, into the build. */
  plugin(fileName?: string): Plugin {
    const folders = this.#folders;
    return {
      name: 'ioreq-trace:packages',
      generateBundle(_options, bundle) {
        for (const part of Object.values(bundle)) {
          for (const id of part.type === 'chunk' ? part.moduleIds : []) {
            const folder = /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1];
            if (folder !== undefined) folders.add(relative(ROOT, folder));
          }
        }
        if (fileName === undefined) return;
        this.emitFile({ type: 'asset', fileName, source: JSON.stringify([...folders].sort()) });
      },
    };
  }
}
