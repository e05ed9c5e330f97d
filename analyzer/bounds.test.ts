import { describe, expect, it } from 'vitest';
import type { LargeTrace } from '../fixtures/scale/large-trace.ts';
import { layLargeTrace } from '../fixtures/scale/large-trace.ts';
import type { EventColumns } from '../trace/columns.ts';
import { EventBatch } from '../trace/columns.ts';
import { K, RUNSTATE } from '../trace/events.ts';
import type { SpanFamily } from '../trace/spans.ts';
import { runPasses } from './analyze.ts';
import { DeviceMap } from './passes/device-map.ts';
import { LocalTape, TAPE } from './passes/dom0-tape.ts';
import { requestPlan } from './passes/plans.ts';
import { RequestSpans } from './passes/request-spans.ts';
import { Requests } from './passes/requests.ts';
import { SpanSink } from './passes/span-sink.ts';
import type { TraceView } from './view.ts';

/** What the passes hold back must not grow with the trace, also where a side falls silent in the middle. */
describe('what is held back', () => {
  it("is given out while Dom0's records go on alone, though Xen's end in the middle of a wait", async () => {
    const trace = await layLargeTrace({ events: 1_500_000, tiles: 1, tileIoreqs: 1000, vcpus: 1 });
    const [domid, rows] = [trace.manifest.domid!, firstWait(trace)];
    const xen = trace.manifest.sources.find((s) => s.id === 'xen')!;
    let given = 0;
    let beforeLast = 0;
    const view: TraceView = {
      manifest: {
        ...trace.manifest,
        sources: trace.manifest.sources.map((s) =>
          s === xen ? { ...s, rows, lastTs: lastOf(trace, rows) } : s,
        ),
      },
      source: (id) => ({
        *batches(): Generator<EventColumns> {
          if (id === 'xen') {
            yield prefix(trace, rows);
            return;
          }
          for (const batch of trace.batches(id)) {
            beforeLast = given;
            yield batch;
          }
        },
      }),
    };
    const held: Partial<Record<SpanFamily, number>> = {};
    runPasses(view, () => [
      (plan, batch) => {
        held[plan.family] = (held[plan.family] ?? 0) + batch.length;
        if (plan.family === 'mmio') given += batch.length;
      },
    ]);
    expect(domid).toBeGreaterThan(0);
    expect(held.mmio).toBe(trace.truth.ioreqs);
    // The last batch, and what a sink collects before it gives it on.
    expect(given - beforeLast).toBeLessThan(0.45 * given);
  });

  it('is no request without end: of those that never complete the oldest are given up, and said to be cut', () => {
    let cut = 0;
    const plan = requestPlan({
      tracePoints: false,
      runstates: false,
      evtchnIrq: true,
      evtchnRead: true,
      service: 'dom0',
      notify: true,
      raise: true,
      requests: true,
    });
    const sink = new SpanSink(plan, [(_plan, batch) => (cut += batch.length)]);
    const spans = new RequestSpans(sink, []);
    const tape: LocalTape = new LocalTape(() => {
      tape.reserve(TAPE.END);
    });
    const requests = new Requests(tape, new DeviceMap([]), { pop: true, flush: true, notify: true });
    const take = (): void => {
      while (tape.values[tape.next()] === TAPE.REQUEST) {
        spans.add(tape.values, tape.next() + 1);
        tape.take();
      }
      tape.take();
      spans.giveOut();
    };
    const batch = new EventBatch(2);
    const event = (kind: number, addr: number, data: number, t: number): void => {
      batch.clear();
      const i = batch.push(t, kind, 0, 0, 0, 1);
      batch.addr[2 * i] = addr;
      batch.data[2 * i] = data;
      requests.event(batch, i, t);
      requests.drain(t);
      take();
    };
    event(K.DM_QUEUE_NOTIFY, 1, 2, 0);
    const POPS = 30_000;
    for (let n = 1; n <= POPS; n++) event(K.DM_POP, 2, 1000 + n, n);
    expect(cut).toBeGreaterThan(POPS - 16_384 - 8192 - 1);
    // Those that are still held complete as ever.
    event(K.DM_FILL, 2, 1000 + POPS, POPS + 1);
    event(K.DM_FLUSH, 2, 0, POPS + 2);
    requests.finish();
    take();
    spans.flush();
    expect(requests.counts).toEqual({ popped: POPS, used: 1, unknownElement: 0 });
    expect(cut).toBe(POPS);
  });
});

/** Rows of Xen's up to and with the first record after a tenth of them that a vCPU waits. */
function firstWait(trace: LargeTrace): number {
  const { rows } = trace.manifest.sources.find((s) => s.id === 'xen')!;
  let n = 0;
  for (const { kind, domid, arg1, length } of trace.batches('xen')) {
    for (let i = 0; i < length; i++) {
      n++;
      const waits =
        kind[i] === K.XEN_RUNSTATE && domid[i] === trace.manifest.domid && arg1[i] === RUNSTATE.OFFLINE;
      if (waits && n > rows / 10) return n;
    }
  }
  throw new Error('no vCPU waits');
}

function lastOf(trace: LargeTrace, rows: number): number {
  return prefix(trace, rows).ts[rows - 1]!;
}

function prefix(trace: LargeTrace, rows: number): EventBatch {
  const all = new EventBatch(rows);
  for (const batch of trace.batches('xen')) {
    for (let i = 0; i < batch.length && all.length < rows; i++) {
      const at = all.push(batch.ts[i]!, batch.kind[i]!, batch.cpu[i]!, batch.domid[i]!, batch.vcpu[i]!, 0);
      all.arg0[at] = batch.arg0[i]!;
      all.arg1[at] = batch.arg1[i]!;
    }
  }
  return all;
}
