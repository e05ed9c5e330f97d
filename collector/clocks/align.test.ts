import { describe, expect, it } from 'vitest';
import type { ClockRelation } from '../../trace/manifest.ts';
import { alignClocks, explainAlignment } from './align.ts';
import { modelHost, type Host, type HostOptions } from './host-model.ts';

const SEEDS = Array.from({ length: 15 }, (_, i) => 1000 + i);

/** Largest distance of the relation's line from the truth over the run; and at its reference. */
function errors(host: Host, relation: ClockRelation): { reference: number; largest: number } {
  const reference = Number(relation.referenceDom0Ns);
  let largest = 0;
  let atReference = NaN;
  for (let i = 0; i <= 1000; i++) {
    const t = host.begin + ((host.end - host.begin) * i) / 1000;
    const line = relation.offsetNs + relation.rate * (host.dom0At(t) - reference);
    largest = Math.max(largest, Math.abs(host.offsetAt(t) - line));
  }
  // The counter time at which Dom0's clock read the reference.
  let [low, high] = [host.begin - 1e9, host.end];
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (host.dom0At(middle) < reference) low = middle;
    else high = middle;
  }
  atReference = Math.abs(host.offsetAt(low) - relation.offsetNs);
  return { reference: atReference, largest };
}

function check(host: Host): ClockRelation {
  const relation = alignClocks(host.input);
  if (relation === undefined) throw new Error(`no relation: ${explainAlignment(host.input).refusal ?? ''}`);
  const found = errors(host, relation);
  // 1 ns: Dom0's reading is cut to whole ones.
  expect(found.reference).toBeLessThanOrEqual(relation.errorNs + 1);
  expect(found.largest).toBeLessThanOrEqual(relation.maxErrorNs + 1);
  return relation;
}

function everySeed(
  options: Omit<HostOptions, 'seed'>,
  maxWidthNs: number,
  warning?: RegExp,
  seeds: readonly number[] = SEEDS,
): void {
  for (const seed of seeds) {
    const relation = check(modelHost({ ...options, seed }));
    expect(2 * relation.maxErrorNs).toBeLessThan(maxWidthNs);
    if (warning === undefined) expect(relation.warning).toBeUndefined();
    else expect(relation.warning).toMatch(warning);
  }
}

describe('alignClocks on modelled hosts: the truth is always inside', () => {
  it('unpatched Xen', () => {
    everySeed({ ioreqs: 400 }, 4000);
  });

  it('patched Xen is at least as narrow', () => {
    everySeed({ ioreqs: 400, patched: true }, 3000);
  });

  it('several vCPUs whose waits overlap nothing', () => {
    everySeed({ ioreqs: 400, vcpus: 4 }, 4000);
  });

  it('a capture that starts later and ends earlier on one side', () => {
    everySeed({ ioreqs: 600, xenWindow: [0.3, 1], dom0Window: [0, 0.8] }, 4500);
    everySeed({ ioreqs: 600, xenWindow: [0, 0.6], dom0Window: [0.25, 1] }, 4500);
  });

  it('records lost on either side', () => {
    everySeed(
      {
        ioreqs: 800,
        patched: true,
        xenLost: [
          [0.2, 0.3],
          [0.5, 0.52],
          [0.8, 0.9],
        ],
        dom0Lost: [
          [0.1, 0.15],
          [0.6, 0.7],
        ],
      },
      4500,
    );
  });

  it('a frequency that Xen reports in whole kHz', () => {
    const counterHz = 8_333_333;
    everySeed({ ioreqs: 400, counterHz, reportedHz: 8_333_000, dom0Ns: kernelClock(counterHz) }, 5000);
  });

  it('a text trace in microseconds', () => {
    everySeed({ ioreqs: 400, unit: 'us' }, 12_000);
  });

  it('a clock slewed by a constant 500 ppm', () => {
    everySeed(
      { ioreqs: 600, clockName: 'mono', dom0Ns: (ns) => ns * 1.0005 - 1e9 },
      16_000,
      /slewed/,
      SEEDS.slice(0, 6),
    );
    everySeed(
      { ioreqs: 600, clockName: 'mono', dom0Ns: (ns) => ns * 0.9995 + 7e9 },
      16_000,
      /slewed/,
      SEEDS.slice(0, 6),
    );
  });

  it('a clock slewed now this way and now that way', () => {
    const dom0Ns = (ns: number): number => ns + 20_000 * Math.sin((ns / 1e9) * 2 * Math.PI * 4);
    everySeed({ ioreqs: 600, clockName: 'mono', dom0Ns }, 100_000, /slewed/, SEEDS.slice(0, 6));
  });
});

describe('alignClocks where nothing can be told', () => {
  it('refuses clocks that do not follow the counter, and says which', () => {
    for (const clockName of ['uptime', 'counter', 'x86-tsc']) {
      const found = explainAlignment(modelHost({ seed: 1, ioreqs: 50, clockName }).input);
      expect(found.relation).toBeUndefined();
      expect(found.refusal).toContain(clockName);
    }
  });

  it('refuses without I/O on both sides', () => {
    const found = explainAlignment(modelHost({ seed: 1, ioreqs: 3 }).input);
    expect(found.relation).toBeUndefined();
    expect(found.refusal).toMatch(/too few/);
  });

  it('gives no confident number for sources that do not belong together', () => {
    for (const seed of SEEDS) {
      const a = modelHost({ seed, ioreqs: 300, patched: true }).input;
      const b = modelHost({ seed: seed + 500, ioreqs: 300, patched: true }).input;
      const relation = alignClocks({ xen: a.xen, dom0: b.dom0, domid: a.domid });
      if (relation !== undefined) expect(relation.warning).toMatch(/contradict|rough/);
    }
  });
});

/** mono_raw as the kernel computes it: (count * mult) >> shift with the constants of tolerance.ts. */
function kernelClock(hz: number): (counterNs: number) => number {
  // mult / 2^shift of 8,333,333 Hz: 120.0000048 ns to within 4e-9; the model's own rounding is far below.
  const period = Math.round((1e9 / hz) * 2 ** 22) / 2 ** 22;
  return (ns) => ns * (period / (1e9 / hz)) - 12_345.5;
}
