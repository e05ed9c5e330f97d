import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importCapture } from '../../collector/import.ts';
import { captureArchive, withCapture } from '../../fixtures/captures.ts';
import type { ClickHouseServer } from '../../fixtures/clickhouse/server.ts';
import { clickhouseMissing, startClickHouse } from '../../fixtures/clickhouse/server.ts';
import type { ScenarioOptions } from '../../fixtures/scenario/index.ts';
import { generateScenario } from '../../fixtures/scenario/index.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import { REFUSAL } from './params.ts';
import type { Compared } from './testing/against-local.ts';
import { bothSides, connect, FAMILIES } from './testing/against-local.ts';

const missing = clickhouseMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

/** Families that the server does, at least one span of each, and equal to the last bit; the others are refused. */
function check({ families }: Compared, done: Partial<Record<SpanFamily, number>>): void {
  for (const family of FAMILIES) {
    const { local, server, together } = families[family];
    const least = done[family];
    if (least === undefined) {
      if (server === undefined) expect(local).toEqual([]);
      else expect(server).toContain(REFUSAL);
      continue;
    }
    expect(local.length, family).toBeGreaterThanOrEqual(least);
    expect(server, family).toEqual(local);
    expect(together, `${family}, with the others`).toEqual(local);
  }
}

describe.skipIf(missing !== undefined)('spans made by the server', () => {
  let server: ClickHouseServer;
  let client: Awaited<ReturnType<typeof connect>>;
  let traces = 0;
  beforeAll(async () => {
    server = await startClickHouse();
    client = await connect(server);
  }, 90_000);
  afterAll(async () => {
    await client.close();
    await server.remove();
  });

  async function analyzed(paths: readonly string[]): Promise<Compared> {
    const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-sql-'));
    try {
      const dir = join(work, 'trace');
      await importCapture([...paths], dir, { tool: { name: 'test', version: '0' } });
      return await bothSides(client, dir, `trace ${++traces}`);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }

  async function scenario(options: ScenarioOptions): Promise<Compared> {
    const raw = mkdtempSync(join(tmpdir(), 'ioreq-trace-sql-raw-'));
    try {
      generateScenario({ ioreqs: 400, ...options }, raw);
      return await analyzed([raw]);
    } finally {
      rmSync(raw, { recursive: true, force: true });
    }
  }

  const CAPTURES: [string, Partial<Record<SpanFamily, number>>][] = [
    ['A1', { mmio: 1272, interrupt: 401, request: 401 }],
    ['C', { mmio: 372, interrupt: 101 }],
    ['D', { mmio: 372, interrupt: 101 }],
    ['P3', { mmio: 1175, interrupt: 224, injection: 224, request: 278 }],
  ];
  for (const [name, done] of CAPTURES) {
    const here = captureArchive(name) !== undefined;
    if (!here) console.warn(`skipped: capture ${name} is not on this machine`);
    it.skipIf(!here)(
      `equal the local ones on capture ${name}`,
      () =>
        withCapture(name, async (dir) => {
          check(await analyzed([dir]), done);
        }),
      180_000,
    );
  }

  const BOTH = { mmio: 390, interrupt: 80 };
  const ALL = { ...BOTH, injection: 80 };
  const request = 150;
  const SCENARIOS: [string, ScenarioOptions, Partial<Record<SpanFamily, number>>][] = [
    ['runstates alone', { seed: 11 }, { ...BOTH, request }],
    ['trace points, vCPUs that are preempted', { seed: 12, patched: true, hogs: 2 }, { ...ALL, request }],
    [
      'four vCPUs',
      { seed: 13, vcpus: 4, pcpus: 3, patched: true },
      { mmio: 390, interrupt: 60, injection: 60, request },
    ],
    ['answers before the vCPU is descheduled', { seed: 1, earlyAnswerEvery: 7 }, { ...BOTH, request }],
    ['contents from a log alone', { seed: 14, markers: false, qemuLog: 'plain' }, BOTH],
    [
      'contents and times from a log',
      { seed: 15, markers: false, qemuLog: 'timestamped', patched: true },
      ALL,
    ],
    ['contents from the ioreq page', { seed: 16, markers: false, qemuLog: 'none', ioreqFetch: true }, BOTH],
    [
      'an end in the middle of the load',
      { seed: 17, drain: false, patched: true },
      { mmio: 380, interrupt: 60, injection: 60, request },
    ],
    [
      'lost records of both',
      {
        seed: 19,
        xenLoss: [{ cpu: 0, atIoreq: 100, records: 30 }],
        ftraceLoss: [{ cpu: 0, atIoreq: 150, records: 400, counted: false }],
      },
      { mmio: 200, interrupt: 40, request: 100 },
    ],
    [
      'interrupts pended again',
      { seed: 1, patched: true, thinkNs: 1000, queueDepth: 16, arrivalNs: 20_000 },
      { ...ALL, request },
    ],
  ];
  for (const [name, options, done] of SCENARIOS)
    it(`equal the local ones with ${name}`, async () => {
      check(await scenario(options), done);
    }, 180_000);

  it('are refused where lost records leave ioreqs of the two sides across each other', async () => {
    const xenLoss = [{ cpu: 0, atIoreq: 200, records: 300 }];
    check(await scenario({ seed: 18, patched: true, xenLoss }), { injection: 60 });
  }, 180_000);

  it('are refused where kicks are answered in the kernel', async () => {
    check(await scenario({ seed: 20, kernelKicks: true }), {});
  }, 180_000);
});
