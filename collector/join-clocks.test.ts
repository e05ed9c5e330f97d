import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClockConstants } from '../fixtures/exact-clock.ts';
import { prependOffsets, timekeeperText, timekeeperWords } from '../fixtures/exact-clock.ts';
import type { ScenarioOptions, ScenarioTruth } from '../fixtures/scenario/index.ts';
import { generateScenario, trueOffsetNs } from '../fixtures/scenario/index.ts';
import { switchPlan, thisHost } from '../fixtures/this-host.ts';
import { openTrace } from '../trace/open.ts';
import type { ClockRelation, Manifest } from '../trace/manifest.ts';
import type { ImportOptions } from './import.ts';
import { importCapture } from './import.ts';
import { describeRecording, writeRecording } from './record/recording-file.ts';

const scratch = mkdtempSync(join(tmpdir(), 'ioreq-join-'));
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});
let count = 0;

async function imported(dir: string, options: Partial<ImportOptions> = {}): Promise<Manifest> {
  const out = join(scratch, `out${count++}`);
  const { errors } = await importCapture([dir], out, { tool: { name: 'test', version: '1' }, ...options });
  expect(errors).toEqual([]);
  // As it is read again: every field must survive the check of manifests.
  return openTrace(out).manifest;
}

interface Made {
  dir: string;
  truth: ScenarioTruth;
  constants: ClockConstants;
}

/** A scenario, with what a patched Xen and Dom0's kernel tell of its clocks; `off` ticks wrong. */
function made(options: ScenarioOptions = {}, off = 0): Made {
  const dir = join(scratch, `in${count++}`);
  const truth = generateScenario({ seed: 5, ioreqs: 400, keepTruth: false, patched: true, ...options }, dir);
  const { counterHz = 62_500_000, offsetTicks = 24_209_817 } = options;
  const constants = { counterHz, offsetTicks, clockStart: Math.round(2.9 * counterHz) };
  // Other samples than those of the kernel must not be needed.
  for (const name of ['clk-start.txt', 'clk-end.txt']) rmSync(join(dir, name));
  prependOffsets(dir, { 0: BigInt(offsetTicks + off), 1: 5_503_110_938n });
  const samples = [10, 10.004, 11].map((s) =>
    timekeeperWords(constants, { at: constants.clockStart + Math.round(s * counterHz) }),
  );
  writeFileSync(join(dir, 'timekeeper-before.txt'), timekeeperText(samples.slice(0, 2)));
  writeFileSync(join(dir, 'timekeeper-after.txt'), timekeeperText(samples.slice(2)));
  return { dir, truth, constants };
}

/** How far the relation is from the truth, at worst over the trace, ns. */
function worst(
  { truth: { clock, endNs } }: Made,
  relation: Pick<ClockRelation, 'offsetNs' | 'rate'>,
  reference: string,
): number {
  let most = 0;
  for (let i = 0; i <= 100; i++) {
    const t = (endNs * i) / 100;
    const reading = clock.dom0StartNs + t * clock.dom0Rate;
    const line = relation.offsetNs + relation.rate * (reading - Number(reference));
    most = Math.max(most, Math.abs(trueOffsetNs(clock, t) - line));
  }
  return most;
}

const contradicted = (manifest: Manifest): string[] =>
  manifest.warnings.filter((text) => text.startsWith('the exact clock constant is not used'));

describe('clocks of a Xen that tells its counter offsets', () => {
  it.each([62_500_000, 100_000_000])(
    'are joined to the tick at %d Hz, the estimate beside',
    async (counterHz) => {
      const scenario = made({ counterHz });
      const { clock, warnings } = await imported(scenario.dir);
      expect(clock).toMatchObject({
        exact: true,
        methods: [{ name: "CNTVOFF and the kernel's timekeeper", pairs: 3 }],
      });
      const { estimate, referenceDom0Ns, errorNs, maxErrorNs } = clock!;
      expect(maxErrorNs).toBeLessThan(0.51);
      expect(errorNs).toBeGreaterThanOrEqual(0.5);
      // Half of it is the middle of a reading that is cut to whole nanoseconds.
      expect(worst(scenario, clock!, referenceDom0Ns)).toBeLessThanOrEqual(maxErrorNs);
      expect(estimate!.methods.map(({ name }) => name)).not.toContain(
        'set_irq_level entry <= INJECT <= return',
      );
      expect(worst(scenario, estimate!, referenceDom0Ns)).toBeLessThanOrEqual(estimate!.maxErrorNs + 1);
      expect(estimate!.errorNs).toBeGreaterThan(50);
      expect(warnings).toEqual([]);
    },
  );

  it('are estimated if that is wrong by more than what was recorded allows', async () => {
    for (const off of [-300, 300, 9e9, 9e11]) {
      const scenario = made({ ioreqs: 200 }, off);
      const { clock, ...manifest } = await imported(scenario.dir);
      expect(contradicted({ clock, ...manifest } as Manifest).join()).toMatch(
        /(what was recorded contradicts it \((by \d+ ns|far)\)|it would put Xen's records \d+ s from Dom0's)$/,
      );
      expect([clock!.exact, clock!.estimate]).toEqual([undefined, undefined]);
      expect(worst(scenario, clock!, clock!.referenceDom0Ns)).toBeLessThanOrEqual(clock!.maxErrorNs + 1);
    }
  });

  it('are estimated where the kernel told nothing of use, and the reason is said', async () => {
    const scenario = made();
    const text = readFileSync(join(scenario.dir, 'timekeeper-before.txt'), 'utf8');
    rmSync(join(scenario.dir, 'timekeeper-after.txt'));
    const put = (content: string): void => {
      writeFileSync(join(scenario.dir, 'timekeeper-before.txt'), content);
    };
    const said: string[] = [];
    for (const content of [
      '# tk_fast_raw: the kernel has no such symbol\n',
      text.replaceAll(/w4=\S+/g, 'w4=0x0'),
    ]) {
      put(content);
      const manifest = await imported(scenario.dir);
      expect(manifest.clock!.exact).toBeUndefined();
      said.push(...contradicted(manifest));
    }
    expect(said).toEqual([
      "the exact clock constant is not used: the kernel's timekeeper was not read (the kernel has no such symbol)",
      'the exact clock constant is not used: the words are no struct tk_fast that is known',
    ]);
  });

  it('are estimated on a slewed clock, and that is said', async () => {
    const manifest = await imported(made({ dom0Clock: 'mono', driftPpm: 90 }).dir);
    expect(contradicted(manifest)).toEqual([
      'the exact clock constant is not used: Dom0\'s clock "mono" is not mono_raw, which alone follows the counter exactly',
    ]);
    expect(manifest.clock!.exact).toBeUndefined();
  });

  it('are joined with an offset that the recorder noted, where the records of it are gone', async () => {
    const scenario = made();
    // A flight recording keeps the end alone.
    const path = join(scenario.dir, 'xentrace.bin');
    const xen = readFileSync(path);
    writeFileSync(path, xen.subarray(12 + xen.readUInt32LE(8)));
    const view = thisHost();
    const noted = (dom0Offset: number): void => {
      const facts = describeRecording(view, switchPlan(), [], { name: 'test', version: '1' });
      const told = { tracePoints: 'all', dom0Offset: String(dom0Offset) } as const;
      writeRecording(scenario.dir, { ...facts, ...told, state: 'duration', counterHz: 62_500_000 });
    };
    noted(24_209_817);
    const { clock, recording } = await imported(scenario.dir);
    expect([clock!.exact, recording!.tracePoints]).toEqual([true, 'all']);
    noted(24_209_818 + 62_500);
    expect(contradicted(await imported(scenario.dir)).join()).toMatch(/contradicts it/);
    prependOffsets(scenario.dir, { 0: 24_209_817n });
    expect(contradicted(await imported(scenario.dir)).join()).toMatch(/another counter offset of Dom0/);
  });

  it('are estimated if Xen told two offsets', async () => {
    const scenario = made();
    prependOffsets(scenario.dir, { 0: 7n });
    expect(contradicted(await imported(scenario.dir))).toEqual([
      'the exact clock constant is not used: Xen recorded different counter offsets of Dom0',
    ]);
  });

  it('can be asked for as if Xen was not patched, or did not tell', async () => {
    const scenario = made();
    const estimated = await imported(scenario.dir, { without: new Set(['clock-constant']) });
    const unpatched = await imported(scenario.dir, { without: new Set(['trace-points']) });
    const exact = await imported(scenario.dir);
    expect([estimated.clock!.exact, unpatched.clock!.exact]).toEqual([undefined, undefined]);
    const kinds = (manifest: Manifest): string[] => Object.keys(manifest.sources[0]!.kinds);
    expect(kinds(unpatched)).toEqual(kinds(exact).filter((name) => !name.startsWith('arm.')));
    expect(kinds(estimated)).toEqual(kinds(exact));
    // The estimate beside the exact relation is that of an unpatched host, but for rounding and the reference.
    expect(exact.clock!.estimate!.errorNs).toBeCloseTo(unpatched.clock!.errorNs, 2);
    expect(exact.clock!.estimate!.methods).toEqual(unpatched.clock!.methods);
    expect(estimated.clock!.errorNs).toBeLessThanOrEqual(unpatched.clock!.errorNs);
  });
});

describe('clocks of a real patched host', () => {
  const root = join(import.meta.dirname, '..');
  beforeAll(() => {
    execFileSync('tar', ['xf', join(root, 'fixtures/captures/P1.tar.gz'), '-C', scratch]);
  });

  it('are joined within the width of its counter samples, with the offset that it printed', async () => {
    const dir = join(scratch, 'P1-told');
    cpSync(join(scratch, 'P1'), dir, { recursive: true });
    prependOffsets(dir, { 0: 16_955_021n });
    const { clock, warnings } = await imported(dir);
    expect(clock).toMatchObject({
      exact: true,
      methods: [{ name: 'CNTVOFF and samples of the counter', pairs: 10 }],
    });
    // 22 ticks of 16 ns lie between the closest two readings of the counter at the beginning, 300 at the end.
    expect(clock!.maxErrorNs).toBeLessThan(500);
    expect(clock!.estimate!.errorNs).toBeGreaterThan(clock!.errorNs);
    expect(Math.abs(clock!.estimate!.offsetNs - clock!.offsetNs)).toBeLessThan(clock!.estimate!.errorNs);
    expect(warnings).toEqual([]);
  });

  it('are estimated with an offset that is not of that boot', async () => {
    const dir = join(scratch, 'P1-other');
    cpSync(join(scratch, 'P1'), dir, { recursive: true });
    prependOffsets(dir, { 0: 24_209_817n });
    const manifest = await imported(dir);
    expect(contradicted(manifest)).toEqual([
      'the exact clock constant is not used: what was recorded contradicts it (far)',
    ]);
    expect(manifest.clock!.exact).toBeUndefined();
  });
});
