// Makes dist/samples.html: the data of three real captures (fixtures/captures) as `trace view --empty` puts them into
// the page, for a newcomer to look at. Run after the command line and the page are built.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const SAMPLES = [
  ['P1', 'an emulated host, Xen with trace points: virtio-blk, 4 KiB reads and writes'],
  ['A2', 'the same, unpatched Xen: waits by run states'],
  ['F1', 'the same, two device models; kicks answered by Dom0’s kernel (ioeventfd)'],
];

const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-samples-'));
try {
  const trace = (...args) =>
    execFileSync(process.execPath, [join(ROOT, 'dist/cli/main.js'), ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  let all = '';
  for (const [n, [name, title]] of SAMPLES.entries()) {
    execFileSync('tar', ['xzf', join(ROOT, `fixtures/captures/${name}.tar.gz`), '-C', work]);
    const [dir, page] = [join(work, `${name}.trace`), join(work, `${name}.html`)];
    trace('import', join(work, name), '-o', dir);
    trace('view', dir, '-o', page);
    const blocks = readFileSync(page, 'utf8').matchAll(
      /<script type="text\/plain" id="([^"]+)">([^<]*)<\/script>/g,
    );
    for (const [, id, text] of blocks) {
      if (id === 'ioreq-analysis') continue;
      const shown = id === 'ioreq-report' ? ` data-sample="${name}: ${title}"` : '';
      all += `<script type="text/plain" id="sample${n}-${id}"${shown}>${text}</script>\n`;
    }
  }
  writeFileSync(join(ROOT, 'dist/samples.html'), all);
  console.log(`samples: ${Buffer.byteLength(all)} B`);
} finally {
  rmSync(work, { recursive: true });
}
