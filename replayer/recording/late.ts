import { TraceError } from '../../trace/errors.ts';
import { JsonValue } from '../../trace/json-check.ts';

/**
 * Queues of the member `late` of a notify record: [[queue, buffers], ...] (docs/ACCESS-JSONL.md). `rest` is the JSON
 * text of the members that have no column. Throws E_TRACE_DAMAGED with the step.
 */
export function lateQueues(rest: string, step: number): number[] {
  const source = `recording, step ${step}`;
  let value: unknown;
  try {
    value = JSON.parse(`{${rest}}`);
  } catch {
    throw new TraceError('E_TRACE_DAMAGED', 'a notify record is not JSON', { source });
  }
  const late = new JsonValue(value, '$', source).get('late');
  if (late.value === undefined) return [];
  return late.list((pair) => {
    const [queue] = pair.list((item) => item, 2);
    return queue === undefined ? pair.fail('a queue and a number of buffers') : queue.integer(0, 65_534);
  }, 65_536);
}
