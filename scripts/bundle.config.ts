import { appendFileSync, chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'vite';
import * as pageTemplate from '../cli/page-template.ts';
import * as sampleTraces from '../cli/sample-traces.ts';
import * as version from '../cli/version.ts';
import { PackageCollector } from '../viewer/bundled-packages.ts';
import { licenceTexts } from './licences.ts';

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');
const FILE = 'trace.mjs';

/** Modules that read files of the package: in the bundle they hold what they would have read. */
const BAKED: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'cli/page-template.ts': pageTemplate,
  'cli/sample-traces.ts': sampleTraces,
  'cli/version.ts': version,
};

/** Puts constants in place of a module's exports: strings, and functions without arguments that give one. */
function bake(): Plugin {
  return {
    name: 'ioreq-trace:bake',
    load(id) {
      const found = Object.entries(BAKED).find(([path]) => id === join(ROOT, path));
      if (found === undefined) return null;
      const lines = Object.entries(found[1]).map(([name, value]) => {
        const text = JSON.stringify(typeof value === 'function' ? (value as () => string)() : value);
        return `export const ${name} = ${typeof value === 'function' ? '() => ' : ''}${text};`;
      });
      return lines.join('\n');
    },
  };
}

const packages = new PackageCollector();

/**
 * The licence texts of everything in the bundle, its page included, go beside it, and as a comment to its end: it
 * is copied to boards alone. And the x bit.
 */
function finish(): Plugin {
  return {
    name: 'ioreq-trace:finish',
    writeBundle() {
      const ofPage = JSON.parse(readFileSync(join(DIST, 'viewer/packages.json'), 'utf8')) as string[];
      const texts = licenceTexts([...packages.folders, ...ofPage]);
      writeFileSync(join(DIST, 'LICENSES.txt'), texts);
      appendFileSync(join(DIST, FILE), `\n${texts.trimEnd().replace(/^/gm, '// ')}\n`);
      chmodSync(join(DIST, FILE), 0o755);
    },
  };
}

/** dist/trace.mjs: the whole command line in one file that needs Node alone. Run after the page is built. */
export default defineConfig({
  root: ROOT,
  // koffi is native code for one kind of replay target: loaded from where it is installed, if it is.
  ssr: { noExternal: true, external: ['koffi'] },
  build: {
    ssr: 'cli/main.ts',
    outDir: DIST,
    emptyOutDir: false,
    target: 'node20',
    rolldownOptions: {
      external: ['koffi'],
      output: {
        format: 'esm',
        entryFileNames: FILE,
        // One file; what a command imports for itself is still run only then.
        codeSplitting: false,
        // Names stay: IOREQ_TRACE_DEBUG=1 prints stacks.
        minify: { mangle: false, compress: true, codegen: { removeWhitespace: true } },
      },
    },
  },
  plugins: [bake(), packages.plugin(), finish()],
});
