import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';
import { viteSingleFile } from 'vite-plugin-singlefile';
import { PackageCollector } from './bundled-packages.ts';
import { smaller } from './smaller.ts';
import { trimPackage, UPLOT_CONSTANT, UPLOT_UNUSED } from './trim-package.ts';

/** Bytes the page may have before any data is put in, plain and gzipped. */
const BUDGET = { plain: 200_000, gzip: 70_000 };

/** Nothing is fetched, no script but the one with this hash runs; the worker is made from a blob. */
const policy = (hash: string): string =>
  [
    "default-src 'none'",
    `script-src 'sha256-${hash}'`,
    "style-src 'unsafe-inline'",
    'img-src data:',
    'worker-src blob:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');

/**
 * The page's last steps: the policy names the one inline script by its hash, so that no other script can
 * ever run, and the size is checked, so that a dependency cannot grow the page unseen.
 */
function sealPage(): Plugin {
  return {
    name: 'ioreq-trace:seal-page',
    enforce: 'post',
    generateBundle: {
      order: 'post',
      async handler(_options, bundle) {
        const page = bundle['index.html'];
        if (page?.type !== 'asset') throw new Error('the build gave no index.html');
        let html = page.source.toString();
        const scripts = [...html.matchAll(/<script\b[^>]*>([\s\S]*?)<\/script>/g)];
        const whole = scripts[0]?.[1];
        if (scripts.length !== 1 || whole === undefined) throw new Error('the page must hold one script');
        const script = await smaller(whole);
        html = html
          .replace(whole, () => script)
          .replace(/ (crossorigin|rel="stylesheet")(?=[ >])/g, '')
          .replace('/*$vite$:1*/', '')
          .replace(/>\n\s+</g, '><');
        const hash = createHash('sha256').update(script).digest('base64');
        const meta = `<meta http-equiv="Content-Security-Policy" content="${policy(hash)}">`;
        html = html.replace('<!--content-security-policy-->', () => meta);
        page.source = html;
        const plain = Buffer.byteLength(html);
        const gzip = gzipSync(html, { level: 9 }).length;
        const text = `page without data: ${plain} B, gzip ${gzip} B (budget ${BUDGET.plain} / ${BUDGET.gzip})`;
        if (plain > BUDGET.plain || gzip > BUDGET.gzip) throw new Error(text);
        console.log(text);
      },
    },
  };
}

const packages = new PackageCollector();

export default defineConfig({
  root: import.meta.dirname,
  // Not the development form either, when a test builds the page: what is checked is what is shipped.
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact', development: false } },
  mode: 'production',
  build: {
    outDir: '../dist/viewer',
    emptyOutDir: true,
    target: 'es2022',
    cssTarget: 'chrome123',
    modulePreload: false,
  },
  plugins: [
    trimPackage('/uplot/dist/uPlot.esm.js', UPLOT_UNUSED, UPLOT_CONSTANT),
    packages.plugin('packages.json'),
    viteSingleFile({ removeViteModuleLoader: true }),
    sealPage(),
  ],
});
