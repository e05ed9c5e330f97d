import { gzipSync } from 'node:zlib';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'vite';
import { ANALYSIS_BLOCK } from '../analyzer/page/page-format.ts';
import { smaller } from './smaller.ts';

/** Bytes of the block that the pages get, in base64. */
const BUDGET = 62_000;

/** Writes the script as a block of a page: text that the page unpacks when a trace is dropped on it. */
function asBlock(): Plugin {
  return {
    name: 'ioreq-trace:analysis-block',
    enforce: 'post',
    generateBundle: {
      order: 'post',
      async handler(_options, bundle) {
        const [chunk, more] = Object.values(bundle);
        if (chunk?.type !== 'chunk' || more !== undefined)
          throw new Error('the build gave more than one script');
        const foreign = chunk.moduleIds.filter((id) => id.includes('/node_modules/'));
        if (foreign.length > 0) throw new Error(`the analysis holds ${foreign.join(', ')}`);
        const text = gzipSync(await smaller(chunk.code), { level: 9 }).toString('base64');
        const source = `<script type="text/plain" id="${ANALYSIS_BLOCK}">${text}</script>\n`;
        Reflect.deleteProperty(bundle, chunk.fileName);
        this.emitFile({ type: 'asset', fileName: 'analysis.html', source });
        const size = `analysis in the page: ${source.length} B (budget ${BUDGET})`;
        if (source.length > BUDGET) throw new Error(size);
        console.log(size);
      },
    },
  };
}

/** dist/viewer/analysis.html, beside the page. */
export default defineConfig({
  root: import.meta.dirname,
  mode: 'production',
  build: {
    outDir: '../dist/viewer',
    emptyOutDir: false,
    target: 'es2022',
    modulePreload: false,
    rolldownOptions: {
      input: join(import.meta.dirname, 'analysis/main.ts'),
      output: { format: 'iife', entryFileNames: 'analysis.js' },
    },
  },
  plugins: [asBlock()],
});
