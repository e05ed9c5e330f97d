import type { Command } from 'commander';
import type { OpenLaunch } from '../../replayer/debug-adapter/adapter.ts';
import { TraceError } from '../../trace/errors.ts';
import type { JsonValue } from '../../trace/json-check.ts';
import type { Cli } from '../cli.ts';
import { integerOption } from './options.ts';
import type { ReplayFlags } from './replay-options.ts';

export function debugAdapterCommand(program: Command, cli: Cli): void {
  program
    .command('debug-adapter')
    .summary('debug replays from an editor')
    .description(
      'Serves the Debug Adapter Protocol on standard input and output, or to one editor after the other on a ' +
        'port of the loopback interface: recorded accesses as source lines, devices and queues as variables, ' +
        'steps both ways (docs/REPLAY-DEBUG.md).',
    )
    .option('--port <n>', 'listen on 127.0.0.1 instead; 0 picks a free port', integerOption(0, 65_535))
    .action(async ({ port }: { port?: number }) => {
      const { serveStreams, servePort } = await import('../../replayer/debug-adapter/serve.ts');
      const open = opener(cli);
      if (port === undefined) {
        const why = await serveStreams(process.stdin, process.stdout, open);
        if (why !== undefined) throw new TraceError('E_USAGE', `no debug adapter client: ${why}`);
      } else
        await servePort(port, open, (actual) => {
          cli.print(`listening on 127.0.0.1:${actual}`);
        });
    });
}

function opener(cli: Cli): OpenLaunch {
  return async (args) => {
    const [{ openReplay }, { ReplayRun }] = await Promise.all([
      import('./replay-options.ts'),
      import('../../replayer/run.ts'),
    ]);
    const path = args.get('trace').text(4096);
    const { recording, make, options, prepared } = await openReplay(cli, path, await flagsOf(args));
    const title = path.split('/').filter(Boolean).at(-1) ?? 'accesses';
    return {
      title,
      recording,
      newRun: () => new ReplayRun(recording, make, { ...options, checkpoints: true }, prepared),
    };
  };
}

/** Members of `launch` besides its trace: the options of `trace replay`, under their names. */
async function flagsOf(args: JsonValue): Promise<ReplayFlags> {
  const { MODELS, commandOption, imageOption, socketOption } = await import('./replay-options.ts');
  const text = (key: string): string | undefined => args.maybe(key, (item) => item.text(4096));
  const list = (key: string): string[] | undefined =>
    args.maybe(key, (item) => item.list((one) => one.text(4096), 64));
  const model = args.maybe('model', (item) => item.oneOf(MODELS));
  const source = text('source');
  const qemu = text('qemu');
  const ignore = list('ignore');
  const timeout = args.maybe('timeoutMs', (item) => item.integer(1, 0x7fff_ffff));
  const rings = args.maybe('rings', (item) => item.oneOf(['own', 'guest'] as const));
  return {
    disk: (list('disks') ?? []).flatMap((image) => imageOption(image)),
    backend: (list('backends') ?? []).flatMap((command) => commandOption(command, [])),
    socket: (list('sockets') ?? []).flatMap((path) => socketOption(path, [])),
    ...(model === undefined ? {} : { model }),
    ...(source === undefined ? {} : { source }),
    ...(qemu === undefined ? {} : { qemu }),
    ...(ignore === undefined ? {} : { ignore }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(rings === undefined ? {} : { rings }),
  };
}
