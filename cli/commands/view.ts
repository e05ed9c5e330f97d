import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { PageTrace } from '../../analyzer/page/embed.ts';
import type { SpanConsumer } from '../../analyzer/passes/span-sink.ts';
import { TraceError } from '../../trace/errors.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import type { Cli } from '../cli.ts';
import { isServerUrl } from '../output/server-url.ts';
import { servePage } from '../page-server.ts';
import { analysisBlock, pageTemplate } from '../page-template.ts';
import { dom0Thread } from '../output/second-thread.ts';
import { sampleTraces } from '../sample-traces.ts';
import { TOOL_NAME } from '../version.ts';
import { integerOption } from './options.ts';

interface Options {
  output?: string;
  maxSpans?: number;
  port?: number;
  empty?: true;
  bare?: true;
  rows: boolean;
}

export function viewCommand(program: Command, cli: Cli): void {
  program
    .command('view')
    .summary('show a trace, or compare two, in the browser')
    .description(
      'Analyses a trace and shows it as a page: latency over time, percentiles, stages, flame graph, slowest ' +
        'accesses and the timeline of each; with a second trace, what changed. With -o it writes the page as one ' +
        'file that holds everything it needs and opens from disk without a network; without, it serves the page ' +
        'on the loopback interface until Ctrl-C.',
    )
    .argument('[trace]', 'a trace directory, or clickhouse://host/database/TRACE')
    .argument('[other]', 'a second one to compare it with')
    .option('-o, --output <file>', 'write the page here instead of serving it')
    .option(
      '--port <number>',
      'loopback port to serve on (default: any that is free)',
      integerOption(1, 65_535),
    )
    .option('--empty', 'the page without a trace: traces are dropped on it later (needs -o)')
    .option(
      '--bare',
      'with --empty: the page alone, without the analysis of traces and the captures to look at',
    )
    .option('--no-rows', 'of a large trace: no file beside the page with the rows that it has no room for')
    .option(
      '--max-spans <number>',
      'spans of each family to put in; of more, the slowest and a sample of the others',
      integerOption(1000, 4_000_000),
    )
    .action(async (first: string | undefined, second: string | undefined, options: Options) => {
      if (options.empty === true) {
        if (first !== undefined || options.output === undefined) usage('--empty takes -o, and no trace');
        const { withBlocks } = await import('../../analyzer/page/embed.ts');
        const blocks = options.bare === true ? '' : analysisBlock() + sampleTraces();
        writeEmpty(withBlocks(pageTemplate(), blocks), options.output);
        const takes = options.bare === true ? 'pages with traces' : 'traces, and pages with traces,';
        cli.print(`${options.output}: a page to drop ${takes} on`);
        return;
      }
      if (first === undefined) usage("missing required argument 'trace'");
      const { servedTemplate, withBlocks, writePage } = await import('../../analyzer/page/embed.ts');
      // Another trace can be dropped on it, to compare.
      const template = withBlocks(pageTemplate(), analysisBlock());
      const make = async (output: string, served: boolean): Promise<string> => {
        const rowsPath = options.rows ? rowsBeside(output) : undefined;
        const trace = await analyse(cli, first, options.maxSpans, rowsPath);
        const other = second === undefined ? undefined : await analyse(cli, second, options.maxSpans);
        const { report, families, rows } = trace;
        const text = served && rows !== undefined ? servedTemplate(template) : template;
        const page = await writePage(text, output, report, families, other, rows);
        const spans = page.tables.map((t) => `${t.spans} ${SPANS[t.family]}`).join(', ');
        const beside =
          rows === undefined || served
            ? ''
            : `; all rows in ${rowsPath!}, ${(rows.bytes / 1e6).toFixed(1)} MB`;
        return `${(page.bytes / 1e6).toFixed(1)} MB, ${spans === '' ? 'no spans' : spans}${beside}`;
      };
      if (options.output !== undefined) cli.print(`${options.output}: ${await make(options.output, false)}`);
      else await serve(cli, make, options.port ?? 0);
    });
}

/** Where the rows go that do not fit into the page. */
const rowsBeside = (page: string): string => `${page.replace(/\.html?$/i, '')}.rows`;

function usage(message: string): never {
  throw new TraceError('E_USAGE', message);
}

function writeEmpty(template: string, output: string): void {
  try {
    writeFileSync(output, template);
  } catch (error) {
    throw new TraceError('E_WRITE', `the page cannot be written: ${(error as Error).message}`, {
      source: output,
    });
  }
}

/** What the page shows, and whether the rows that it has no room for were put into the file at `rowsPath`. */
async function analyse(
  cli: Cli,
  place: string,
  maxSpans: number | undefined,
  rowsPath?: string,
): Promise<PageTrace> {
  const make = isServerUrl(place) ? fromServer : fromDirectory;
  const { report, families, rows } = await make(cli, place, maxSpans, rowsPath);
  for (const { table: t } of families) {
    if (t.rows === t.spans) continue;
    cli.warn(
      `the page holds ${t.rows} of ${t.spans} ${SPANS[t.family]}: the slowest ${t.slowest} and a sample of the others; ` +
        'it says so, and its figures over everything are exact',
    );
  }
  for (const warning of report.warnings ?? []) cli.warn(warning);
  return { report, families, rows };
}

async function fromDirectory(
  cli: Cli,
  dir: string,
  maxSpans: number | undefined,
  rowsPath: string | undefined,
): Promise<PageTrace> {
  const thread = await dom0Thread(cli, dir);
  try {
    const [{ PAGE_ROWS }, { pageTrace }, { traceId }, { openSealed }] = await Promise.all([
      import('../../analyzer/page/page-spans.ts'),
      import('../../analyzer/page/page-trace.ts'),
      import('../../analyzer/clickhouse/trace-id.ts'),
      import('../output/open-trace.ts'),
    ]);
    const trace = await openSealed(cli, dir);
    // Spans are fewer than events: a trace of so few has all of them in the page.
    const events = trace.sources.reduce((sum, { scan }) => sum + scan.rows, 0);
    const small = events <= (maxSpans ?? Math.min(...Object.values(PAGE_ROWS)));
    const [damage] = trace.damage;
    if (damage !== undefined) cli.exitCode = damage.exitCode;
    return await withRows(small ? undefined : rowsPath, traceId(trace.manifest), (onSpans) =>
      pageTrace(trace, {
        path: basename(resolve(dir)),
        maxSpans,
        onSpans,
        warn(text) {
          cli.warn(text);
        },
        dom0Thread: thread?.of(trace),
      }),
    );
  } finally {
    thread?.close();
  }
}

async function fromServer(
  cli: Cli,
  url: string,
  maxSpans: number | undefined,
  rowsPath: string | undefined,
): Promise<PageTrace> {
  const [{ onTrace }, { pageOnServer }] = await Promise.all([
    import('../output/on-trace.ts'),
    import('../../analyzer/clickhouse/page.ts'),
  ]);
  const tool = `${TOOL_NAME} ${cli.version}`;
  return onTrace(cli, url, (server, id) =>
    withRows(rowsPath, id, (onSpans) => pageOnServer(server, id, { tool, maxSpans, onSpans })),
  );
}

/** Makes a page's trace while all its spans go into a file as well, which is removed unless the page has a sample. */
async function withRows(
  path: string | undefined,
  id: string,
  make: (onSpans: SpanConsumer | undefined) => PageTrace | Promise<PageTrace>,
): Promise<PageTrace> {
  if (path === undefined) return make(undefined);
  const { PageRowsFile } = await import('../../analyzer/page/page-rows.ts');
  const file = new PageRowsFile(path, id);
  let sampled = false;
  try {
    const made = await make((plan, batch) => {
      file.add(plan, batch);
    });
    const rows = file.close();
    sampled = made.families.some(({ table: t }) => t.rows < t.spans);
    return sampled ? { ...made, rows } : made;
  } finally {
    if (!sampled) file.remove();
  }
}

/** Serves the page from a temporary file until it is interrupted. */
async function serve(
  cli: Cli,
  make: (file: string, served: true) => Promise<string>,
  port: number,
): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-page-'));
  try {
    const file = join(work, 'page.html');
    const what = await make(file, true);
    const server = await servePage(file, port, rowsBeside(file));
    cli.print(`${server.url} (${what}); Ctrl-C ends`);
    await new Promise<void>((done) => {
      const end = (): void => {
        done();
      };
      process.once('SIGINT', end).once('SIGTERM', end);
    });
    await server.close();
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const SPANS: Record<SpanFamily, string> = {
  mmio: 'MMIO accesses',
  interrupt: 'interrupts',
  injection: 'injections',
  request: 'virtio requests',
};
