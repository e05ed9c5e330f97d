import { TraceError } from '../../trace/errors.ts';
import type { Report } from './document.ts';

type Fields = Record<string, unknown>;

/**
 * A report that `trace analyze --json` printed before, from a file's text. Every part that comparing uses is checked,
 * as the file may be anything. Throws E_FOREIGN, E_TRACE_VERSION, E_TRUNCATED or E_BAD_RECORD.
 */
export function readReport(text: string, source: string): Report {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // One that is cut off begins as a report does.
    const begun = /^\s*\{\s*"format"\s*:\s*"ioreq-trace-report"/.test(text);
    const expected = 'a report as trace analyze --json prints it';
    throw begun
      ? new TraceError('E_TRUNCATED', 'the report is no whole JSON document', { source, expected })
      : new TraceError('E_FOREIGN', 'neither a trace nor a report', { source, expected });
  }
  if (!isObject(document) || document['format'] !== 'ioreq-trace-report') {
    throw new TraceError('E_FOREIGN', 'the JSON is no report', {
      source,
      expected: '"format": "ioreq-trace-report"',
    });
  }
  if (document['version'] !== 1) {
    const version = document['version'];
    if (typeof version !== 'number' || !(version > 1)) throw bad(source, 'version', 'a number from 1 on');
    throw new TraceError('E_TRACE_VERSION', 'the report is of a newer version', {
      source,
      expected: 'version 1',
      got: `version ${version}`,
    });
  }
  check(document, source);
  return document as unknown as Report;
}

function check(report: Fields, source: string): void {
  const trace = object(report['trace'], source, 'trace');
  if (typeof trace['path'] !== 'string') throw bad(source, 'trace.path', 'a text');
  for (const [key, value] of Object.entries(object(trace['host'], source, 'trace.host')))
    if (typeof value !== 'string' && typeof value !== 'number')
      throw bad(source, `trace.host.${key}`, 'a text');
  for (const part of ['counts', 'clock']) object(report[part], source, part);
  for (const part of ['mmio', 'interrupts', 'requests'])
    family(object(report[part], source, part), source, part);
  const { injection } = report['interrupts'] as Fields;
  if (injection !== null) {
    const at = 'interrupts.injection';
    family(object(injection, source, at), source, at);
  }
  list(report['groups'], source, 'groups').forEach((value, n) => {
    const at = `groups[${n}]`;
    const group = object(value, source, at);
    const of = group['family'];
    if (of !== 'mmio' && of !== 'interrupts' && of !== 'requests')
      throw bad(source, `${at}.family`, 'mmio, interrupts or requests');
    for (const [key, label] of Object.entries(object(group['by'], source, `${at}.by`)))
      if (typeof label !== 'string' && typeof label !== 'number')
        throw bad(source, `${at}.by.${key}`, 'a text');
    figures(group, source, at);
  });
}

function family(value: Fields, source: string, at: string): void {
  if (typeof value['title'] !== 'string') throw bad(source, `${at}.title`, 'a text');
  figures(value, source, at);
  for (const part of ['staged', 'in_kernel'])
    distribution(object(value[part], source, `${at}.${part}`), source, `${at}.${part}`);
}

function figures(value: Fields, source: string, at: string): void {
  distribution(object(value['total'], source, `${at}.total`), source, `${at}.total`);
  list(value['stages'], source, `${at}.stages`).forEach((item, n) => {
    const place = `${at}.stages[${n}]`;
    const stage = object(item, source, place);
    for (const key of ['name', 'title'])
      if (typeof stage[key] !== 'string') throw bad(source, `${place}.${key}`, 'a text');
    if (stage['share'] !== null && typeof stage['share'] !== 'number')
      throw bad(source, `${place}.share`, 'a number or null');
    distribution(stage, source, place);
  });
  list(value['left_out'], source, `${at}.left_out`).forEach((item, n) => {
    const place = `${at}.left_out[${n}]`;
    if (typeof object(item, source, place)['count'] !== 'number')
      throw bad(source, `${place}.count`, 'a number');
  });
}

const FIGURES = ['mean', 'min', 'p50', 'p90', 'p99', 'p999', 'max'];
const INTERVALS = ['p50_lo', 'p50_hi', 'p99_lo', 'p99_hi'];

function distribution(value: Fields, source: string, at: string): void {
  const { count } = value;
  if (typeof count !== 'number' || !Number.isInteger(count) || count < 0)
    throw bad(source, `${at}.count`, 'a whole number');
  for (const name of [...FIGURES, ...INTERVALS]) {
    const figure = value[`${name}_ns`];
    if (figure === undefined && INTERVALS.includes(name)) continue;
    if (figure !== null && typeof figure !== 'number')
      throw bad(source, `${at}.${name}_ns`, 'a number or null');
  }
}

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function object(value: unknown, source: string, at: string): Fields {
  if (!isObject(value)) throw bad(source, at, 'an object');
  return value;
}

function list(value: unknown, source: string, at: string): unknown[] {
  if (!Array.isArray(value)) throw bad(source, at, 'a list');
  return value;
}

function bad(source: string, at: string, expected: string): TraceError {
  return new TraceError('E_BAD_RECORD', `the report's ${at} is not as it should be`, { source, expected });
}
