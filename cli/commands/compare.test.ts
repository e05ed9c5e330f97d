import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LabelComparison } from '../../analyzer/compare/by-label.ts';
import type { Trend } from '../../analyzer/clickhouse/trend.ts';
import type { Report } from '../../analyzer/report/document.ts';
import type { Manifest } from '../../trace/manifest.ts';
import { importCapture } from '../../collector/import.ts';
import { withCapture } from '../../fixtures/captures.ts';
import type { ClickHouseServer } from '../../fixtures/clickhouse/server.ts';
import { clickhouseMissing, installedClickHouse, startClickHouse } from '../../fixtures/clickhouse/server.ts';
import { traceIn, trace } from '../testing/command-line.ts';

let scratch: string;
let p1: string;
let report: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-compare-'));
  p1 = join(scratch, 'P1.trace');
  await withCapture('P1', (raw) => importCapture([raw], p1, { tool: { name: 'test', version: '0' } }));
  report = (await trace('analyze', p1, '--json', '--by', 'device')).out;
}, 60_000);
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

/** The report as of a recording made on another day, with all times `factor` as long. */
function kept(day: number, factor: number): string {
  const changed = JSON.parse(report) as Report;
  const stretch = (of: object): void => {
    for (const [key, value] of Object.entries(of))
      if (key.endsWith('_ns') && typeof value === 'number') Object.assign(of, { [key]: value * factor });
  };
  for (const of of [changed.mmio, ...changed.groups.filter((g) => g.family === 'mmio')])
    [of.total, ...of.stages].forEach(stretch);
  changed.trace.created = `2026-01-${String(day).padStart(2, '0')}T00:00:00.000Z`;
  const path = join(scratch, `${day}.json`);
  writeFileSync(path, JSON.stringify(changed));
  return path;
}

async function compare(...args: string[]): Promise<LabelComparison> {
  const { code, out, err } = await trace('compare', ...args, '--json');
  expect([code, err]).toEqual([0, '']);
  return JSON.parse(out) as LabelComparison;
}

const labels = (...builds: string[]): string[] => [
  '--by',
  'build',
  ...builds.flatMap((build) => ['--label', `build=${build}`]),
];

describe('trace compare', () => {
  it('gives the figures of the reports by label, in order of time, and what is significant', async () => {
    const { mmio, groups } = JSON.parse(report) as Report;
    // Given in another order than that of time; the trace itself was made last.
    const found = await compare(kept(3, 2), p1, kept(1, 1), kept(2, 1.001), ...labels('c', 'd', 'a', 'b'));
    expect(found).toMatchObject({ format: 'ioreq-trace-comparison', version: 1, by: 'build' });
    expect(found.recordings.map((r) => r.value)).toEqual(['a', 'b', 'c', 'd']);
    const all = found.rows.find((r) => r.family === 'mmio' && r.device === null)!;
    const { count, p50_ns: p50, p50_lo_ns: lo, p50_hi_ns: hi, p99_ns: p99 } = mmio.total;
    expect(all.values.map((v) => [v.spans, v.p50.ns, v.p99.ns])).toEqual([
      [count, p50, p99],
      [count, p50! * 1.001, p99! * 1.001],
      [count, p50! * 2, p99! * 2],
      [count, p50, p99],
    ]);
    expect(all.values[0]!.p50).toEqual({
      ns: p50,
      lo_ns: lo,
      hi_ns: hi,
      delta_ns: null,
      percent: null,
      significant: null,
    });
    expect(all.values.map((v) => v.p50.significant)).toEqual([null, false, true, true]);
    expect(all.values[2]!.p50.percent).toBeCloseTo((2 / 1.001 - 1) * 100, 9);
    const device = found.rows.find((r) => r.family === 'mmio' && r.device === 'blk0')!;
    const group = groups.find((g) => g.family === 'mmio' && g.by['device'] === 'blk0')!;
    expect([device.values[3]!.spans, device.values[3]!.p99.ns]).toEqual([
      group.total.count,
      group.total.p99_ns,
    ]);
    expect(found.rows.map((r) => `${r.family} ${r.device ?? ''}`)).toEqual(
      ['mmio', 'interrupts', 'requests'].flatMap((family) => [`${family} `, `${family} blk0`]),
    );
  });

  it('marks a change of level that many recordings show', async () => {
    const files = Array.from({ length: 10 }, (_, n) => kept(n + 1, (n < 5 ? 1 : 1.3) + (n % 3) * 0.01));
    const builds = files.map((_, n) => `v${Math.floor(n / 2.5)}`);
    const found = await compare(...files, ...labels(...builds));
    const row = found.rows.find((r) => r.family === 'mmio' && r.device === 'blk0')!;
    expect(row.values.map((v) => v.value)).toEqual(['v0', 'v1', 'v2', 'v3']);
    expect(row.changes).toMatchObject([
      { of: 'p50', from: 'v2' },
      { of: 'p99', from: 'v2' },
    ]);
    expect(found.rows.find((r) => r.family === 'requests')!.changes).toEqual([]);
    const { out } = await trace('compare', ...files, ...labels(...builds));
    expect(out).toMatch(
      /^mmio of blk0\nbuild +n +p50 +between +Δ +p99 +between +Δ\nv0 \(3 recordings\) [^]*\nv2 .*<- .*change of p99 \(p = 0\.0/m,
    );
  });

  it('without a label takes each by itself, and two as trace diff does', async () => {
    const [a, b] = [kept(1, 1), kept(2, 2)];
    expect((await compare(a, b, p1)).recordings.map((r) => r.value)).toEqual([a, b, p1]);
    expect((await trace('compare', a, b, '--json')).out).toBe((await trace('diff', a, b, '--json')).out);
  });

  it('says in one line what is missing', async () => {
    const [a, b] = [kept(1, 1), kept(2, 2)];
    for (const args of [
      [a],
      [a, b, '--by', 'build'],
      [a, b, ...labels('x')],
      [a, b, ...labels('x', 'y', 'z')],
      [a, b, '--by', 'board', '--label', 'build=1', '--label', 'build=2'],
      [a, b, p1, '--label', 'build=1'],
    ]) {
      const ran = await trace('compare', ...args);
      expect(ran).toEqual({
        code: 2,
        out: '',
        err: expect.stringMatching(/^trace: E_USAGE: [^\n]+\n$/) as string,
      });
    }
  });
});

const missing = clickhouseMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

/** Names that break what does not quote: of devices, hosts and labels. */
const HOSTILE = [
  `it's "1" \\ \`x\`'); DROP TABLE traces; --`,
  'a\nb\t\u001b[31mc ünï→\u202e🦊 {id:String} %s',
];

describe.skipIf(missing !== undefined)('recordings in a database, whatever their names', () => {
  let clickhouse: ClickHouseServer;
  let env: Record<string, string>;
  let url: string;
  const traces: string[] = [];
  const dirs: string[] = [];
  beforeAll(async () => {
    clickhouse = await startClickHouse();
    env = {
      IOREQ_TRACE_CHDB: installedClickHouse()!,
      IOREQ_TRACE_CLICKHOUSE_USER: clickhouse.user,
      IOREQ_TRACE_CLICKHOUSE_PASSWORD: clickhouse.password,
    };
    url = `clickhouse://${new URL(clickhouse.url).host}/names`;
    for (const [n, name] of HOSTILE.entries()) {
      const dir = join(scratch, `named '${n}" \\`);
      cpSync(p1, dir, { recursive: true });
      const file = join(dir, 'manifest.json');
      const manifest = JSON.parse(readFileSync(file, 'utf8')) as Manifest;
      Object.assign(manifest.devices[0]!, { name });
      Object.assign(manifest.host, { xenVersion: name, linuxVersion: name });
      writeFileSync(file, JSON.stringify({ ...manifest, created: `2026-01-0${n + 1}T00:00:00.000Z` }));
      const ran = await traceIn(env, 'load', dir, '--clickhouse', url, '--label', `build=${name}`);
      expect([ran.code, ran.err]).toEqual([0, '']);
      traces.push(`${url}/${/\/([0-9a-f]{16}):/.exec(ran.out)![1]!}`);
      dirs.push(dir);
    }
    expect(new Set(traces).size).toBe(HOSTILE.length);
  }, 120_000);
  afterAll(() => clickhouse.remove());

  const json = async (...args: string[]): Promise<unknown> => {
    const { code, out, err } = await traceIn(env, ...args, '--json');
    expect([code, err]).toEqual([0, '']);
    return JSON.parse(out);
  };

  it('are compared by label with the figures of trace trend', async () => {
    const found = (await json('compare', '--clickhouse', url, '--by', 'build')) as LabelComparison;
    expect(found.recordings.map((r) => [r.value, r.path])).toEqual(
      HOSTILE.map((name, n) => [name, traces[n]]),
    );
    for (const [family, of] of [
      ['mmio', 'p99'],
      ['requests', 'p50'],
    ] as const) {
      for (const device of [undefined, ...HOSTILE]) {
        const trend = (await json(
          ...['trend', '--clickhouse', url, '--of', `${family}.${of}`, '--by', 'build'],
          ...(device === undefined ? [] : ['--device', device]),
        )) as Trend;
        const row = found.rows.find((r) => r.family === family && r.device === (device ?? null))!;
        expect(row.values.map((v) => [v.value, v[of].ns])).toEqual(
          trend.groups.map((g) => [g.value, g.median]),
        );
        expect(row.values.filter((v) => v.spans > 0)).toHaveLength(device === undefined ? HOSTILE.length : 1);
      }
    }
    const mixed = ['compare', traces[0]!, dirs[1]!, '--by', 'build', '--label', `build=${HOSTILE[1]!}`];
    const some = (await json(...mixed)) as LabelComparison;
    expect(some.recordings.map((r) => r.value)).toEqual(HOSTILE);
    const one = (await json(
      'trend',
      '--clickhouse',
      url,
      '--of',
      'mmio.p50',
      '--by',
      'build',
      '--where',
      `build=${HOSTILE[1]!}`,
    )) as Trend;
    expect(one.groups.map((g) => g.value)).toEqual([HOSTILE[1]]);
  });

  it('are told by analyze, sql and diff as their directories are', async () => {
    for (const [n, name] of HOSTILE.entries()) {
      const [place, dir] = [traces[n]!, dirs[n]!];
      const report_ = (await json('analyze', place, '--by', 'device')) as Report;
      expect([report_.groups[0]!.by['device'], report_.trace.host.xenVersion]).toEqual([name, name]);
      const sql = 'SELECT DISTINCT device, length(device) AS n FROM spans_mmio WHERE device IS NOT NULL';
      const there = (await json('sql', place, sql)) as { data: unknown };
      const local = (await json('sql', dir, sql)) as { data: unknown };
      expect(there.data).toEqual(local.data);
      expect(local.data).toEqual([{ device: name, n: String(Buffer.byteLength(name)) }]);
      const condition = `mmio[device="${name.replace(/[\\"]/g, '\\$&')}"].count < 1`;
      const where = `device_name = '${name.replace(/[\\']/g, '\\$&')}'`;
      const ran = await traceIn(env, 'analyze', place, '--where', where, '--fail-on', condition);
      expect([ran.code, ran.err]).toEqual([0, '']);
      const diff = await traceIn(env, 'diff', place, dir);
      expect([diff.code, diff.out.includes('significant, ')]).toEqual([0, false]);
    }
  });

  it('move no terminal', async () => {
    for (const args of [
      ['compare', '--clickhouse', url, '--by', 'build'],
      ['trend', '--clickhouse', url, '--of', 'mmio.p99', '--by', 'build'],
      ['analyze', traces[1]!, '--by', 'device'],
      ['sql', traces[1]!, 'SELECT * FROM devices'],
    ]) {
      const { code, out, err } = await traceIn(env, ...args);
      expect([code, err]).toEqual([0, '']);
      expect(out).not.toMatch(/[\u001b\u202e\t]/);
    }
    const { out } = await traceIn(env, 'completion', 'bash');
    expect(out).toContain('compare');
  });
});
