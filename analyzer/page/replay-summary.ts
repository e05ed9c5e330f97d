import { isTraceError, TraceError } from '../../trace/errors.ts';
import { JsonValue } from '../../trace/json-check.ts';
import type { TraceFiles } from '../../trace/open-files.ts';
import type { PageReplay } from './page-format.ts';

/** In a trace directory: `trace replay` stores its last result there. */
const FILE = 'replay.json';
const MOST_BYTES = 64 << 20;
const SHOWN = 200;

/** When steps of a source's recording were, ns; undefined where that is not known. */
export type StepTimes = (source: string, steps: readonly number[]) => (number | undefined)[];

export const hasReplay = (files: TraceFiles): boolean => files.has(FILE);

/** The result of the last replay that is stored in a trace; undefined without one. A damaged one is a warning. */
export function storedReplay(
  files: TraceFiles,
  warn: (text: string) => void,
  times?: StepTimes,
): PageReplay | undefined {
  const path = files.path(FILE);
  try {
    const file = files.open(FILE);
    if (file === undefined) return undefined;
    try {
      if (file.size > MOST_BYTES) throw new TraceError('E_TRACE_DAMAGED', 'too large', { source: path });
      const bytes = new Uint8Array(file.size);
      const text = new TextDecoder().decode(bytes.subarray(0, file.read(0, bytes)));
      return summary(new JsonValue(JSON.parse(text), '$', path), times);
    } finally {
      file.close();
    }
  } catch (error) {
    const why = isTraceError(error) ? error.message : `${path}: ${(error as Error).message}`;
    warn(`the stored replay is left out: ${why}`);
    return undefined;
  }
}

function summary(result: JsonValue, times: StepTimes | undefined): PageReplay {
  result.get('format').oneOf(['ioreq-trace-replay']);
  const shown = result
    .get('divergences')
    .list((one) => one)
    .slice(0, SHOWN);
  const steps = shown.map((one) => one.get('step').integer(0));
  const recording = result.get('recording');
  const source = recording.maybe('source', (name) => name.text(1000));
  const at = source === undefined ? [] : (times?.(source, steps) ?? []);
  return {
    target: result.get('target').text(1000),
    level: result.get('level').text(1000),
    equal: result.get('equal').flag(),
    proven: result.get('proven').flag(),
    count: result.get('divergenceCount').integer(0),
    records: recording.get('records').integer(0),
    divergences: shown.map((one, n) => ({
      step: steps[n]!,
      ...(at[n] === undefined ? {} : { at_ns: at[n] }),
      where: where(one),
      field: one.get('field').text(1000),
      expected: one.get('expected').text(1000),
      got: one.get('got').text(1000),
    })),
  };
}

/** 'blk0 InterruptStatus', 'net0 queue 1 element 7'. */
function where(divergence: JsonValue): string {
  const parts = [divergence.get('device').text(1000)];
  const register = divergence.maybe('register', (name) => name.text(1000));
  const queue = divergence.maybe('queue', (n) => n.integer(0));
  const element = divergence.maybe('element', (n) => n.integer(0));
  if (register !== undefined) parts.push(register);
  if (queue !== undefined) parts.push(`queue ${queue}`);
  if (element !== undefined) parts.push(`element ${element}`);
  return parts.join(' ');
}
