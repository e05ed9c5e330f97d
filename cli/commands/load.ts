import type { Command } from 'commander';
import type { Server } from '../../analyzer/clickhouse/server.ts';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import { escapeText } from '../output/escape.ts';
import { ProgressBar } from '../output/progress.ts';
import { refreshFacts } from '../../analyzer/refresh-facts.ts';
import { count } from '../output/units.ts';
import { TOOL_NAME } from '../version.ts';
import { labelOption } from './label-option.ts';

interface Options {
  clickhouse: string;
  cluster?: string;
  label: Record<string, string>;
}

/** 128 + SIGINT, as shells have it. */
const EXIT_INTERRUPTED = 130;

export function loadCommand(program: Command, cli: Cli): void {
  program
    .command('load')
    .summary('put a trace into a ClickHouse database')
    .description(
      'Puts a trace into a ClickHouse database, where any number of recordings lie side by side under their labels: ' +
        '`trace analyze clickhouse://...` and `trace trend` read them there (docs/SCALE.md). A load that was ' +
        'interrupted goes on where it stopped when it is run again, and no analysis sees a trace before it is whole. ' +
        'Credentials: in the URL, or IOREQ_TRACE_CLICKHOUSE_USER and IOREQ_TRACE_CLICKHOUSE_PASSWORD.',
    )
    .argument('<trace>', 'a trace directory')
    .requiredOption(
      '--clickhouse <url>',
      'the server: clickhouse://user@host:port/database, clickhouses:// with TLS',
    )
    .option('--cluster <name>', 'spread the tables over a cluster of the server')
    .option(
      '--label <k=v>',
      'a label of the recording, such as build=1.2 or board=a7; may be repeated',
      labelOption,
      {},
    )
    .action((dir: string, options: Options) => loadAction(cli, dir, options));
}

async function loadAction(cli: Cli, dir: string, options: Options): Promise<void> {
  const [{ parseAddress }, { connect, PATIENCE_MS }, { loadTrace }, { openSealed }] = await Promise.all([
    import('../../analyzer/clickhouse/address.ts'),
    import('../../analyzer/clickhouse/server.ts'),
    import('../../analyzer/clickhouse/load.ts'),
    import('../output/open-trace.ts'),
  ]);
  const address = parseAddress(options.clickhouse, cli.streams.env);
  const trace = await openSealed(cli, dir);
  refreshFacts(trace);
  if (trace.sources.every((source) => source.scan.rows === 0)) {
    throw new TraceError('E_NO_DATA', 'the trace holds no events', { source: dir });
  }
  const bar = new ProgressBar('load', cli.streams.stderrIsTerminal, cli.streams.stderr, 'events');
  const stop = new AbortController();
  const onSignal = (): void => {
    stop.abort();
  };
  let waiting = false;
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  let server: Server | undefined;
  const interrupted = (name: string): void => {
    cli.print(`${escapeText(name)}: interrupted; the same command goes on where it stopped`);
    cli.exitCode = EXIT_INTERRUPTED;
  };
  try {
    server = await connect(address, {
      patienceMs: PATIENCE_MS,
      signal: stop.signal,
      onRetry(error) {
        if (!waiting) cli.warn(`${error.message}; trying again for ${PATIENCE_MS / 1000} s`);
        waiting = true;
      },
    });
    const begun = Date.now();
    const loaded = await loadTrace(server, trace, {
      tool: { name: TOOL_NAME, version: cli.version },
      path: dir,
      labels: options.label,
      warnings: trace.warnings,
      progress: (done, total) => {
        waiting = false;
        bar.update(done, total);
      },
      signal: stop.signal,
      onWait: () => {
        cli.warn('another load of this trace is under way; waiting for it');
      },
      ...(options.cluster === undefined ? {} : { cluster: options.cluster }),
    });
    bar.clear();
    for (const warning of trace.warnings) cli.warn(warning);
    const name = `${server.place}/${loaded.id}`;
    if (loaded.interrupted) {
      interrupted(name);
    } else if (loaded.already) {
      cli.print(`${escapeText(name)}: is there already, whole; nothing was sent`);
    } else {
      const seconds = (Date.now() - begun) / 1000;
      const resumed =
        loaded.resumed > 0 ? `, ${count(loaded.resumed)} of them by a load before this one` : '';
      cli.print(`${escapeText(name)}: ${count(loaded.events)} events${resumed}; ${seconds.toFixed(1)} s`);
    }
    const [damage] = trace.damage;
    if (damage !== undefined) cli.exitCode = damage.exitCode;
  } catch (error) {
    // The first contact ends as any request does.
    if (!stop.signal.aborted) throw error;
    bar.clear();
    interrupted(address.place);
  } finally {
    bar.clear();
    process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal);
    await server?.close();
  }
}
