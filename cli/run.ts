import { Command, CommanderError } from 'commander';
import { TraceError, isTraceError } from '../trace/errors.ts';
import type { CliStreams } from './cli.ts';
import { Cli } from './cli.ts';
import { COMMANDS } from './commands/index.ts';
import { HELP } from './describe/help.ts';
import { toolVersion } from './version.ts';

/** Runs one command line (without node and script); gives the exit code. Never throws. */
export async function run(args: readonly string[], streams: CliStreams): Promise<number> {
  const cli = new Cli(streams, toolVersion());
  const program = new Command('trace')
    .description('Says where the microseconds of a virtio request on Xen on Arm go.')
    .version(cli.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help, or that of a command')
    .helpCommand('help [command]', 'print the help of a command')
    .showHelpAfterError(false);
  for (const command of COMMANDS) command(program, cli);
  for (const command of [program, ...program.commands]) quiet(command, cli);
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return usageExit(error);
    cli.fail(isTraceError(error) ? error : internal(error, streams));
  }
  return cli.exitCode;
}

/** Commander writes through the streams, its errors as ours, and never ends the process. */
function quiet(command: Command, { streams }: Cli): void {
  command
    .exitOverride()
    .configureHelp(HELP)
    .configureOutput({
      writeOut: streams.stdout,
      writeErr: streams.stderr,
      outputError(text, write) {
        const line = text
          .replace(/^error: /, '')
          .trim()
          .replace(/\s*\n\s*/g, ' ');
        write(`trace: E_USAGE: ${line}\n`);
      },
    });
}

function usageExit(error: CommanderError): number {
  const isHelp = error.code === 'commander.helpDisplayed' || error.code === 'commander.version';
  // 'commander.help': no command was given, or help was asked for with `help`.
  return isHelp || (error.code === 'commander.help' && error.exitCode === 0) ? 0 : 2;
}

function internal(error: unknown, { env, stderr }: CliStreams): TraceError {
  if (env['IOREQ_TRACE_DEBUG'] !== undefined && error instanceof Error) stderr(`${error.stack ?? ''}\n`);
  const what = error instanceof Error ? error.message : String(error);
  return new TraceError('E_INTERNAL', `${what} (IOREQ_TRACE_DEBUG=1 shows where)`);
}
