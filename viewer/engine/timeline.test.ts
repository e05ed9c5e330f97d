import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateScenario, type ScenarioTruth } from '../../fixtures/scenario/index.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import { pageTables } from '../testing/tables.ts';
import type { SpanTable } from './table.ts';
import { sceneOf, storyOf } from './timeline.ts';

let work = '';
let truth: ScenarioTruth;
let tables: Map<SpanFamily, SpanTable>;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'ioreq-timeline-'));
  truth = generateScenario(
    {
      seed: 5,
      ioreqs: 900,
      drain: true,
      patched: true,
      vcpus: 2,
      devices: ['blk', 'net'],
      eventIdx: true,
      batch: 4,
    },
    join(work, 'raw'),
  );
  ({ tables } = await pageTables(join(work, 'raw'), join(work, 'trace')));
}, 60_000);
afterAll(() => {
  rmSync(work, { recursive: true });
});

const rowsBy = (table: SpanTable, fits: (i: number) => boolean, at: (i: number) => number): number[] =>
  Array.from({ length: table.rows }, (_, i) => i)
    .filter(fits)
    .sort((a, b) => at(a) - at(b));

const column = (table: SpanTable, name: string): Float64Array =>
  table.at[table.plan.boundaries.findIndex((b) => b.name === name)]!;

/** Row of every true ioreq: a vCPU's accesses come in the same order on both sides. */
function ioreqRows(): Map<number, number> {
  const mmio = tables.get('mmio')!;
  const rows = new Map<number, number>();
  for (let v = 0; v < truth.vcpus; v++) {
    const seen = rowsBy(
      mmio,
      (i) => mmio.vcpu[i] === v,
      (i) => mmio.start[i]!,
    );
    const real = truth.ioreqs.filter((r) => r.vcpu === v).sort((a, b) => a.trap - b.trap);
    expect(seen.length).toBe(real.length);
    real.forEach((r, k) => rows.set(r.index, seen[k]!));
  }
  return rows;
}

describe('the story of a span', () => {
  it('goes from a request to the very access that started it', () => {
    const rows = ioreqRows();
    const request = tables.get('request')!;
    let joined = 0;
    for (const [d] of truth.devices.entries()) {
      for (const q of [0, 1]) {
        const seen = rowsBy(
          request,
          (i) => request.device[i] === d && request.key[i] === q,
          (i) => column(request, 'popped')[i]!,
        );
        const real = truth.requests
          .filter((r) => r.device === d && r.queue === q && !Number.isNaN(r.pop))
          .sort((a, b) => a.pop - b.pop);
        expect(seen.length).toBe(real.length);
        real.forEach((r, k) => {
          if (Number.isNaN(column(request, 'notify')[seen[k]!]!)) return;
          const story = storyOf(tables, { family: 'request', row: seen[k]! });
          const notifies = story.filter(
            (s) => s.family === 'mmio' && tables.get('mmio')!.key[s.row] === 0x50,
          );
          expect(notifies.map((s) => s.row)).toEqual([rows.get(r.kickIoreq)]);
          joined++;
        });
      }
    }
    expect(joined).toBeGreaterThan(100);
  });

  it('goes from an interrupt to its injection and to the accesses of its handler', () => {
    const rows = ioreqRows();
    const interrupt = tables.get('interrupt')!;
    const mmio = tables.get('mmio')!;
    for (const [d] of truth.devices.entries()) {
      const seen = rowsBy(
        interrupt,
        (i) => interrupt.device[i] === d,
        (i) => column(interrupt, 'status_read')[i]!,
      );
      const real = truth.interrupts
        .filter((r) => r.device === d && r.statusRead >= 0)
        .sort((a, b) => truth.ioreqs[a.statusRead]!.trap - truth.ioreqs[b.statusRead]!.trap);
      expect(seen.length).toBe(real.length);
      real.forEach((r, k) => {
        const story = storyOf(tables, { family: 'interrupt', row: seen[k]! });
        const handler = story
          .filter((s) => s.family === 'mmio' && mmio.key[s.row] !== 0x50)
          .map((s) => s.row);
        expect(new Set(handler)).toEqual(new Set([rows.get(r.statusRead), rows.get(r.ack)]));
        expect(story.filter((s) => s.family === 'injection')).toHaveLength(1);
      });
    }
  });

  it('fans out to every request of a notify, and gathers every request of an interrupt', () => {
    const request = tables.get('request')!;
    const notify = column(request, 'notify');
    const most = new Map<number, number[]>();
    notify.forEach((t, i) => {
      if (!Number.isNaN(t)) most.set(t, [...(most.get(t) ?? []), i]);
    });
    const fan = [...most.values()].sort((a, b) => b.length - a.length)[0]!;
    expect(fan.length).toBeGreaterThan(1);
    const start = notify[fan[0]!]!;
    const row = tables.get('mmio')!.start.indexOf(start);
    const story = storyOf(tables, { family: 'mmio', row });
    expect(story.filter((s) => s.family === 'request').map((s) => s.row)).toEqual(
      expect.arrayContaining(fan),
    );
  });

  it('shows neighbours in the window, the story always, and depths that the requests make', () => {
    const request = tables.get('request')!;
    const row = request.total.indexOf(Math.max(...request.total.filter((t) => t > 0)));
    const scene = sceneOf(tables, { family: 'request', row }, null);
    const shown = scene.families.find((f) => f.family === 'mmio')!;
    expect(shown.rows.length).toBeGreaterThan(shown.story.filter((s) => s === 1).length);
    for (const s of scene.story) {
      const spans = scene.families.find((f) => f.family === s.family)!;
      expect(spans.story[spans.rows.indexOf(s.row)]).toBe(1);
    }
    const popped = column(request, 'popped');
    const used = column(request, 'used');
    let checked = 0;
    for (const { device, queue, t, n } of scene.depths) {
      t.forEach((at, k) => {
        if (t[k + 1] === at) return;
        const open = popped.reduce((sum, from, i) => {
          const own = request.device[i] === device && request.key[i] === queue;
          return sum + (own && from <= at && !(used[i]! <= at) ? 1 : 0);
        }, 0);
        expect(n[k]).toBe(open);
        checked++;
      });
    }
    expect(checked).toBeGreaterThan(4);
  });
});
