import type { Command } from 'commander';
import type { Condition } from '../../analyzer/conditions/condition.ts';
import type { Figures, Outcome } from '../../analyzer/conditions/evaluate.ts';
import { evaluate } from '../../analyzer/conditions/evaluate.ts';
import { parseCondition } from '../../analyzer/conditions/parse.ts';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import { escapeText } from './escape.ts';
import { writeJunit } from './junit.ts';
import { outcomeText } from './outcome-text.ts';

/** The exit code if a condition did not pass (docs/ERRORS.md). */
const NOT_PASSED = 1;

export interface ConditionOptions {
  failOn?: Condition[];
  junit?: string;
}

export function addConditionOptions(command: Command, example: string): Command {
  return command
    .option(
      '--fail-on <condition>',
      `exit with 1 if this holds, e.g. '${example}'; may be repeated (docs/COMMANDS.md)`,
      (text: string, before: Condition[] | undefined) => [...(before ?? []), parseCondition(text)],
    )
    .option('--junit <file>', 'write what became of the conditions as JUnit XML');
}

/** Before anything is read: whether the options make sense for one recording, or for two. */
export function checkConditionOptions({ failOn, junit }: ConditionOptions, two: boolean): void {
  if (junit !== undefined && failOn === undefined) {
    throw new TraceError('E_USAGE', '--junit has nothing to write', { expected: '--fail-on, too' });
  }
  const change = two ? undefined : failOn?.find(({ bound }) => bound.change !== null);
  if (change !== undefined) {
    throw new TraceError('E_USAGE', `condition "${change.text}": a change takes two recordings`, {
      expected: 'trace diff A B',
    });
  }
}

/** Checks the conditions, tells those that did not pass, and sets the exit code. */
export function checkConditions(
  cli: Cli,
  suite: string,
  { failOn = [], junit }: ConditionOptions,
  b: Figures,
  a?: Figures,
): void {
  const outcomes = failOn.map((condition) => evaluate(condition, b, a));
  for (const { condition, found } of outcomes) {
    for (const one of found) if (one.result !== 'passed') tell(cli, condition, one);
  }
  if (junit !== undefined) writeJunit(junit, suite, outcomes);
  if (outcomes.some(({ result }) => result !== 'passed')) cli.exitCode = NOT_PASSED;
}

function tell(cli: Cli, condition: Condition, found: Outcome['found'][number]): void {
  const word = found.result === 'failed' ? 'failed:' : 'not passed:';
  const text = escapeText(`${condition.text}: ${outcomeText(condition, found)}`);
  cli.streams.stderr(`${cli.err.red(word)} ${text}\n`);
}
