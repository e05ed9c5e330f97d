import type { Command } from 'commander';
import type { OpenTrace } from '../../trace/open.ts';
import type { Cli } from '../cli.ts';
import { infoText } from '../output/info-text.ts';
import { refreshFacts } from '../../analyzer/refresh-facts.ts';

export function infoCommand(program: Command, cli: Cli): void {
  program
    .command('info')
    .summary('what a trace holds')
    .description(
      'Prints what a trace holds: host, domain, devices, sources with their events, losses and errors, and how ' +
        'the clocks lie to each other. The exit code is 3 if a part of the trace is damaged.',
    )
    .argument('<trace>', 'a trace directory')
    .option('--json', 'print it as JSON')
    .action(async (dir: string, options: { json?: true }) => {
      const { openSealed } = await import('../output/open-trace.ts');
      const trace = await openSealed(cli, dir);
      refreshFacts(trace);
      cli.print(options.json === true ? JSON.stringify(infoJson(trace), null, 2) : infoText(trace, cli.out));
      for (const warning of trace.warnings) cli.warn(warning);
      const [damage] = trace.damage;
      if (damage !== undefined) cli.exitCode = damage.exitCode;
    });
}

/** The manifest as it is, with what the event files really hold beside it. */
function infoJson(trace: OpenTrace): object {
  return {
    dir: trace.dir,
    writtenAs: trace.writtenAs,
    manifest: trace.manifest,
    files: trace.sources.map(({ facts, scan }) => ({
      id: facts.id,
      rows: scan.rows,
      batches: scan.batches,
      bytes: scan.bytes,
      sealed: scan.sealed,
      damage: scan.damage?.message ?? null,
    })),
    warnings: trace.warnings,
  };
}
