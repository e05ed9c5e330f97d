import { writeFileSync } from 'node:fs';
import type { Outcome } from '../../analyzer/conditions/evaluate.ts';
import { TraceError } from '../../trace/errors.ts';
import { outcomeText } from './outcome-text.ts';

/**
 * JUnit XML as Jenkins, GitLab and others take it: a test case a condition. One that does not hold as it should is a
 * failure, one whose figure is not there an error. https://github.com/windyroad/JUnit-Schema has the schema.
 */
export function junit(suite: string, outcomes: readonly Outcome[]): string {
  const number = (result: Outcome['result']): number => outcomes.filter((o) => o.result === result).length;
  const counts =
    `tests="${outcomes.length}" failures="${number('failed')}" errors="${number('missing')}" ` + `time="0"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts}>`,
    `  <testsuite name="${xml(suite)}" ${counts} skipped="0">`,
    ...outcomes.map(testcase),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

function testcase(outcome: Outcome): string {
  const head = `    <testcase classname="ioreq-trace" name="${xml(outcome.condition.text)}" time="0"`;
  const text = outcome.found.map((f) => outcomeText(outcome.condition, f)).join('\n');
  if (outcome.result === 'passed')
    return `${head}>\n      <system-out>${xml(text)}</system-out>\n    </testcase>`;
  const [element, type] =
    outcome.result === 'failed' ? ['failure', 'condition'] : (['error', 'no figure'] as const);
  const first = outcome.found.find((f) => f.result === outcome.result)!;
  const message = xml(outcomeText(outcome.condition, first));
  return `${head}>\n      <${element} message="${message}" type="${type}">${xml(text)}</${element}>\n    </testcase>`;
}

/** Escaped for text and attributes; what XML 1.0 has no way to write becomes U+FFFD. */
function xml(text: string): string {
  return text
    .replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"'\t\n\r]/g, (c) => `&#${c.charCodeAt(0)};`);
}

export function writeJunit(path: string, suite: string, outcomes: readonly Outcome[]): void {
  try {
    writeFileSync(path, junit(suite, outcomes));
  } catch (error) {
    throw new TraceError('E_WRITE', (error as Error).message, { source: path });
  }
}
