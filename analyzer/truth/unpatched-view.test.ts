import { describe, expect, it } from 'vitest';
import type { EventColumns } from '../../trace/columns.ts';
import { EventBatch } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';
import { emptyManifest, emptySource } from '../../fixtures/small-trace.ts';
import type { TraceView } from '../view.ts';
import { withClock, withoutTracePoints } from './unpatched-view.ts';

/** A trace of one hypervisor source with rows of these kinds at 10, 20, 30 … ticks, in batches of `size`. */
function view(kinds: readonly number[], size: number): TraceView {
  const batches: EventBatch[] = [];
  for (let from = 0; from < kinds.length; from += size) {
    const batch = new EventBatch(size);
    for (let n = from; n < Math.min(kinds.length, from + size); n++) {
      const i = batch.push((n + 1) * 10, kinds[n]!, n % 4, n, n + 1, -1);
      batch.addr[2 * i + 1] = n + 2;
      batch.data[2 * i] = n + 3;
      batch.arg0[i] = n + 4;
      batch.arg3[i] = n + 5;
    }
    batches.push(batch);
  }
  const facts = {
    ...emptySource('xen'),
    rows: kinds.length,
    kinds: { 'xen.wake': 3, 'arm.cntvoff': 2, 'arm.virq_retired': 3 },
    firstTs: 10,
    lastTs: kinds.length * 10,
  };
  const manifest = { ...emptyManifest(), sources: [facts] };
  return { manifest, source: () => ({ batches: (): Iterable<EventColumns> => batches }) };
}

const KINDS = [39, 39, K.XEN_WAKE, 30, K.XEN_RUNSTATE, K.XEN_WAKE, 32, 38, K.XEN_WAKE, 38, 38];

describe('a trace without its trace points', () => {
  it.each([1, 2, 3, 100])('holds every other row unchanged, in batches of %d', (size) => {
    const bare = withoutTracePoints(view(KINDS, size));
    const rows: number[][] = [];
    for (const b of bare.source('xen').batches()) {
      for (let i = 0; i < b.length; i++)
        rows.push([
          b.ts[i]!,
          b.kind[i]!,
          b.cpu[i]!,
          b.domid[i]!,
          b.vcpu[i]!,
          b.addr[2 * i + 1]!,
          b.data[2 * i]!,
        ]);
    }
    const kept = KINDS.flatMap((k, n) =>
      k >= 30 && k <= 39 ? [] : [[(n + 1) * 10, k, n % 4, n, n + 1, n + 2, n + 3]],
    );
    expect(rows).toEqual(kept);
    const [facts] = bare.manifest.sources;
    expect([facts!.rows, facts!.firstTs, facts!.lastTs, facts!.kinds]).toEqual([
      4,
      30,
      90,
      { 'xen.wake': 3 },
    ]);
  });

  it('has no clock relation but the one that is put in', () => {
    const relation = {
      xen: 'xen',
      dom0: 'dom0',
      offsetNs: 1,
      errorNs: 2,
      maxErrorNs: 3,
      rate: 0,
      referenceDom0Ns: '0',
      methods: [],
    };
    const patched = withClock(view(KINDS, 4), relation);
    const bare = withoutTracePoints(patched);
    expect(patched.manifest.clock).toBe(relation);
    expect(bare.manifest.clock).toBeUndefined();
    expect(withClock(bare, relation).manifest.clock).toBe(relation);
    expect(withClock(patched, undefined).manifest.clock).toBeUndefined();
  });
});
