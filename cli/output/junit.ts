import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Outcome } from '../../analyzer/conditions/evaluate.ts';
import { TraceError } from '../../trace/errors.ts';
import { outcomeText } from './outcome-text.ts';

/**
 * JUnit XML as Jenkins, GitLab and others take it: a test case a condition. One that does not hold as it should is a
 * failure, one whose figure is not there an error; the figures of those that passed are the suite's output. Valid by
 * the schema of Ant's reports (https://github.com/windyroad/JUnit-Schema), which has an order for everything.
 */
export function junit(suite: string, outcomes: readonly Outcome[], at: Date, host: string): string {
  const number = (result: Outcome['result']): number => outcomes.filter((o) => o.result === result).length;
  const attributes = {
    name: xml(suite),
    package: 'ioreq-trace',
    id: '0',
    timestamp: at.toISOString().slice(0, 19),
    hostname: xml(host === '' ? 'localhost' : host),
    tests: String(outcomes.length),
    failures: String(number('failed')),
    errors: String(number('missing')),
    skipped: '0',
    time: '0',
  };
  const passed = outcomes
    .filter(({ result }) => result === 'passed')
    .map((outcome) => `${outcome.condition.text}: ${found(outcome)}\n`);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites>',
    `  <testsuite ${Object.entries(attributes)
      .map(([name, value]) => `${name}="${value}"`)
      .join(' ')}>`,
    '    <properties/>',
    ...outcomes.map(testcase),
    `    <system-out>${xml(passed.join(''))}</system-out>`,
    '    <system-err/>',
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

function testcase(outcome: Outcome): string {
  const head = `    <testcase classname="ioreq-trace" name="${xml(outcome.condition.text)}" time="0"`;
  if (outcome.result === 'passed') return `${head}/>`;
  const [element, type] =
    outcome.result === 'failed' ? ['failure', 'condition'] : (['error', 'no figure'] as const);
  const first = outcome.found.find((f) => f.result === outcome.result)!;
  const message = xml(outcomeText(outcome.condition, first));
  return `${head}>\n      <${element} message="${message}" type="${type}">${xml(found(outcome))}</${element}>\n    </testcase>`;
}

const found = ({ condition, found: all }: Outcome): string =>
  all.map((one) => outcomeText(condition, one)).join('\n');

/** Escaped for text and attributes; what XML 1.0 has no way to write becomes U+FFFD. */
function xml(text: string): string {
  return text
    .replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"'\t\n\r]/g, (c) => `&#${c.charCodeAt(0)};`);
}

export function writeJunit(path: string, suite: string, outcomes: readonly Outcome[]): void {
  try {
    writeFileSync(path, junit(suite, outcomes, new Date(), hostname()));
  } catch (error) {
    throw new TraceError('E_WRITE', (error as Error).message, { source: path });
  }
}
