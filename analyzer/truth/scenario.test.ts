import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importCapture } from '../../collector/import.ts';
import { unpatchedEstimate } from '../../collector/clock-estimates.ts';
import type { ScenarioOptions, ScenarioTruth, TruthIoreq } from '../../fixtures/scenario/index.ts';
import { generateScenario } from '../../fixtures/scenario/index.ts';
import { openTrace } from '../../trace/open.ts';
import { analyzeTrace } from '../report/build.ts';
import type { Report } from '../report/document.ts';
import type { ComparisonReport, ErrorReport, TruthReport } from './document.ts';
import { truthReport } from './truth.ts';
import { withClock, withoutTracePoints } from './unpatched-view.ts';

interface Both {
  truth: ScenarioTruth;
  report: TruthReport;
  /** The report of the same scenario on a Xen without the trace points. */
  unpatched: Report;
  tickNs: number;
}

/** The truth report of a scenario, beside the plain report of the same scenario on an unpatched host. */
async function both(options: ScenarioOptions): Promise<Both> {
  const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-truth-'));
  try {
    const tool = { tool: { name: 'test', version: '0' } };
    const trace = async (patched: boolean): Promise<ReturnType<typeof openTrace>> => {
      const name = patched ? 'patched' : 'unpatched';
      truth = generateScenario({ ...options, patched }, join(work, name));
      await importCapture([join(work, name)], join(work, `${name}.trace`), tool);
      return openTrace(join(work, `${name}.trace`));
    };
    let truth: ScenarioTruth | undefined;
    const unpatched = analyzeTrace(await trace(false), { path: 'unpatched' });
    const view = await trace(true);
    const bare = withoutTracePoints(view);
    const clocks = [unpatchedEstimate(bare)];
    const report = truthReport(view, withClock(bare, clocks[0]?.relation), { path: 'patched', clocks });
    return { truth: truth!, report, unpatched, tickNs: 1e9 / truth!.clock.counterHz };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Nearest rank, as reports take it. */
function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length - 1e-9) - 1)]!;
}

type Numbers = Pick<ErrorReport, 'p50_ns' | 'p90_ns' | 'p99_ns' | 'min_ns' | 'max_ns' | 'mean_ns'>;

/** A distribution of the report against the values that it must hold, within `slack` ns and a part of each. */
function expectValues(got: Numbers, values: readonly number[], slack: number, part: number): void {
  const near = (value: number | null, want: number): void => {
    expect(Math.abs(value! - want)).toBeLessThanOrEqual(slack + part * Math.abs(want));
  };
  near(got.p50_ns, quantile(values, 0.5));
  near(got.p90_ns, quantile(values, 0.9));
  near(got.p99_ns, quantile(values, 0.99));
  near(got.min_ns, Math.min(...values));
  near(got.max_ns, Math.max(...values));
  near(got.mean_ns, values.reduce((sum, v) => sum + v, 0) / values.length);
}

const waited = (t: TruthIoreq): boolean => t.type !== 8 && !Number.isNaN(t.offline);

const SCENARIOS: ScenarioOptions[] = [
  { seed: 1 },
  { seed: 2, vcpus: 4, counterHz: 24_000_000, earlyAnswerEvery: 40 },
  { seed: 3, vcpus: 4, dom0Clock: 'mono', driftPpm: -120, counterHz: 100_000_000, hogs: 2 },
  { seed: 4, vcpus: 1, devices: ['blk'], counterHz: 1_000_000_000, queueDepth: 16, batch: 8 },
  { seed: 5, ioreqFetch: true, invalidates: 5, rawSyscalls: true },
  { seed: 52, kernelKicks: true, vcpus: 4, ioreqFetch: true, counterHz: 24_000_000 },
];

describe('loss', () => {
  it('leaves out what it may have touched, pairs the rest, and breaks no certain rule', async () => {
    const { report, truth } = await both({
      seed: 21,
      ioreqs: 1200,
      earlyAnswerEvery: 60,
      xenLoss: [
        { cpu: 0, atIoreq: 300, records: 300 },
        { cpu: 1, atIoreq: 700, records: 50 },
      ],
      ftraceLoss: [{ cpu: 0, atIoreq: 500, records: 200 }],
    });
    const { pairing, splits } = report.mmio;
    const lost = pairing.not_compared.find((n) => n.why.includes('lost'));
    expect(lost!.count).toBeGreaterThan(5);
    const compared = splits[0]!.total.count;
    expect(compared).toBeGreaterThan(900);
    expect(pairing.paired).toBe(compared + pairing.not_compared.reduce((sum, n) => sum + n.count, 0));
    expect(pairing.paired + pairing.only_exact).toBe(pairing.exact);
    expect(pairing.exact).toBeLessThanOrEqual(truth.ioreqs.length);
    for (const { id, certain, checked, held } of report.rules)
      if (certain) expect([id, held]).toEqual([id, checked]);
  });
});

describe.each(SCENARIOS)('the truth report of a generated scenario: %j', (options) => {
  let made: Promise<Both> | undefined;
  const ready = (): Promise<Both> => (made ??= both({ ioreqs: 900, ...options }));

  it('has the true times in its exact column, and the true differences beside them', async () => {
    const { truth, report, tickNs } = await ready();
    const [all, undisturbed, preempted] = report.mmio.splits;
    const seen = truth.ioreqs.filter(waited);
    const slack = 2 * tickNs + 2;
    const drift = Math.abs(1 - truth.clock.dom0Rate);
    expect(all!.total.count).toBe(seen.length);
    expect(report.mmio.pairing.paired).toBe(truth.ioreqs.length);
    expectValues(
      all!.total.exact,
      seen.map((t) => t.resume - t.trap),
      // Drift of Dom0's clock stretches long spans.
      slack,
      drift,
    );
    const errors = seen.map((t) => t.running - t.offline - (t.resume - t.trap));
    expectValues(all!.total.error, errors, slack, drift);
    const unseen = (name: string): number => all!.unseen.find((s) => s.name === name)!.p50_ns!;
    const median = (length: (t: TruthIoreq) => number): number => quantile(seen.map(length), 0.5);
    expect(Math.abs(unseen('trap→send') - median((t) => t.send - t.trap))).toBeLessThanOrEqual(slack);
    expect(Math.abs(unseen('send→offline') - median((t) => t.offline - t.send))).toBeLessThanOrEqual(slack);
    expect(Math.abs(unseen('running→done') - median((t) => t.done - t.running))).toBeLessThanOrEqual(slack);
    expect(Math.abs(unseen('done→resume') - median((t) => t.resume - t.done))).toBeLessThanOrEqual(slack);
    const disturbed = seen.filter((t) => t.preemptedTrap + t.preemptedRunning + t.preemptedDone > 0).length;
    expect([undisturbed!.total.count, preempted!.total.count]).toEqual([seen.length - disturbed, disturbed]);
  });

  it('has in its estimated column what the same host without trace points reports', async () => {
    const { report, unpatched, truth } = await ready();
    const early = truth.ioreqs.filter((t) => t.type !== 8 && Number.isNaN(t.offline)).length;
    const not = report.mmio.pairing.not_compared.find((n) => n.why.startsWith('not timed unpatched'));
    expect(not?.count ?? 0).toBe(early);
    expect([report.mmio.pairing.only_exact, report.mmio.pairing.only_estimate]).toEqual([0, 0]);
    const same = (got: ComparisonReport, want: { count: number; mean_ns: number | null }): void => {
      expect(got.estimate.count).toBe(want.count);
      expect(got.estimate.mean_ns).toBeCloseTo(want.mean_ns!, 2);
    };
    const [all] = report.mmio.splits;
    same(all!.total, unpatched.mmio.total);
    for (const stage of all!.stages)
      same(
        stage,
        unpatched.mmio.stages.find((s) => s.name === stage.name)!,
      );
    expect(all!.stages.length).toBe(unpatched.mmio.stages.filter((s) => s.name !== 'preempted').length);
    const { clock } = unpatched;
    const [method] = report.clock.methods;
    expect(method!.name).toBe('unpatched, all of it');
    expect(method!.offset_ns).toBeCloseTo(clock.offset_ns!, 2);
    expect(method!.max_error_ns).toBeCloseTo(clock.max_error_ns!, 2);
  });

  it('finds every rule that is called certain to hold for every span', async () => {
    const { report, truth, unpatched } = await ready();
    expect(report.rules.length).toBeGreaterThanOrEqual(6);
    for (const { id, certain, checked, held, worst_ns } of report.rules) {
      expect(checked).toBeGreaterThan(0);
      if (certain) expect([id, held, worst_ns]).toEqual([id, checked, null]);
    }
    const ids = unpatched.estimates.map((e) => e.id);
    expect(ids).toContain('wait-inside-trap');
    const checked = report.rules.map((r) => r.id);
    expect(ids.filter((id) => !checked.includes(id))).toEqual([]);
    expect(truth.ioreqs.length).toBeGreaterThanOrEqual(900);
  });

  it('compares every interrupt and request that the unpatched report times', async () => {
    const { report, unpatched } = await ready();
    expect(report.interrupts.pairing.estimate).toBeGreaterThan(100);
    expect(report.interrupts.splits[0]!.total.count).toBeGreaterThan(0.8 * unpatched.interrupts.total.count);
    expect(report.requests.splits[0]?.total.count ?? 0).toBeGreaterThan(0.9 * unpatched.requests.total.count);
    expect(report.injection.count).toBeGreaterThan(60);
  });
});
