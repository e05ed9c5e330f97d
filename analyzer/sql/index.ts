import type { SpanFamily } from '../../trace/spans.ts';
import { TraceError } from '../../trace/errors.ts';
import type { SqlFacts } from './facts.ts';
import { injections } from './injections.ts';
import { interrupts } from './interrupts.ts';
import { accesses } from './mmio.ts';
import { requests } from './requests.ts';
import type { Statement } from './params.ts';
import { Params, REFUSAL } from './params.ts';

export type { SqlFacts } from './facts.ts';
export { sqlFacts } from './facts.ts';
export type { Statement } from './params.ts';

/** Columns of every statement's rows, as SpanBatch has them; `at` and `preempted` in the order of the plan. */
export const SPAN_ROW =
  'start, total, device, key, vcpu, dir, type, flags, amount, value, `group`, at, preempted';

export interface PassTarget {
  /** Id of the trace in the events table. */
  readonly trace: string;
  readonly database: string;
  readonly events: string;
  /** The server can keep a table for the time of a statement (clickhouse/pass-settings.ts). */
  readonly sharing?: boolean;
}

/**
 * The statement that makes the spans of one family of a loaded trace out of its events, row by row equal to what the
 * local passes give; undefined if the trace has no such spans. Throws E_UNSUPPORTED for what is not done on the
 * server; what only the events tell ends the statement there with a message that begins with REFUSAL.
 */
export function spanStatement(
  family: SpanFamily,
  facts: SqlFacts,
  target: PassTarget,
): Statement | undefined {
  const p = new Params(target.sharing ?? false);
  const select = familySelect(p, family, facts);
  return select === undefined ? undefined : statement(p, `SELECT ${SPAN_ROW} FROM (${select})`, target);
}

/**
 * The same for several families at once, each of which has a statement: what they have in common is made once, where
 * the server can share it. Rows begin with a column `family`. What refuses one family refuses all.
 */
export function spansStatement(
  families: readonly SpanFamily[],
  facts: SqlFacts,
  target: PassTarget,
): Statement {
  const p = new Params(target.sharing ?? false);
  const selects = families.map((family) => {
    const select = familySelect(p, family, facts);
    if (select === undefined) throw new RangeError(`no ${family} spans to make`);
    return `SELECT '${family}' AS family, ${SPAN_ROW} FROM (${select})`;
  });
  return statement(p, selects.join('\nUNION ALL\n'), target);
}

function familySelect(p: Params, family: SpanFamily, facts: SqlFacts): string | undefined {
  refuse(facts);
  if (family === 'request') refuseRequests(facts);
  return { mmio: accesses, interrupt: interrupts, injection: injections, request: requests }[family](
    p,
    facts,
  );
}

function statement(p: Params, select: string, { trace, database, events }: PassTarget): Statement {
  return { sql: `${p.head}${select}`, params: { ...p.values, trace, events_database: database, events } };
}

/** What the facts alone rule out: the passes keep state there that these statements do not model. */
function refuse({ dom0, pids, ports, hooks, devices }: SqlFacts): void {
  const has = (kind: string): boolean => (dom0?.kinds[kind] ?? 0) > 0;
  if (hooks.notify) {
    if (has('dom0.ioeventfd') || has('dom0.ioeventfd_ret'))
      throw unsupported('kicks answered in Dom0 kernel (ioeventfd)');
    if (pids.length !== 1) throw unsupported(`${pids.length} threads that answer ioreqs`);
    if (new Set(ports.map(([, vcpu]) => vcpu)).size !== ports.length)
      throw unsupported('several device models of one domain');
  }
  const lines = devices.map((d) => d.spi).filter((spi) => spi > 0);
  if (new Set(lines).size !== lines.length) throw unsupported('devices that share an interrupt line');
  const windows = devices.map((d) => [d.base, d.base + d.size] as const).sort((a, b) => a[0] - b[0]);
  if (windows.some(([, end], n) => end > (windows[n + 1]?.[0] ?? Infinity)))
    throw unsupported('devices whose windows overlap');
}

function refuseRequests({ dom0, hooks, queues, devices }: SqlFacts): void {
  if (!hooks.requests) return;
  if ((dom0?.kinds['dm.ioreq'] ?? 0) === 0 || !hooks.notify)
    throw unsupported('requests without the ioreqs that notified them');
  if (!queues.sure) throw unsupported('queues whose devices the trace does not tell at once');
  const known = queues.queues;
  if (known.some((q) => q.device >= devices.length)) throw unsupported('queues of no known device');
  const twice = (values: readonly string[]): boolean => new Set(values).size !== values.length;
  if (twice(known.map((q) => q.vq)) || twice(known.map((q) => `${q.device} ${q.queue}`)))
    throw unsupported('queues that share an address or a device');
  // Whether it is a receive queue hangs on when the queue behind it was met.
  const pairs = known.some(
    (q) =>
      devices[q.device]?.kind === 'net' &&
      q.queue > 0 &&
      q.queue % 2 === 0 &&
      known.some((o) => o.vdev === q.vdev && o.queue === q.queue + 1),
  );
  if (pairs) throw unsupported('network devices with several pairs of queues');
}

function unsupported(what: string): TraceError {
  return new TraceError('E_UNSUPPORTED', `${REFUSAL}${what}; analyze the trace directory itself`);
}
