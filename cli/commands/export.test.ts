import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tableFromIPC } from 'apache-arrow';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Report } from '../../analyzer/report/document.ts';
import { clickhouseMissing, installedClickHouse } from '../../fixtures/clickhouse/server.ts';
import { writeSmallTrace } from '../../fixtures/small-trace.ts';
import type { Ran } from '../testing/command-line.ts';
import { traceIn } from '../testing/command-line.ts';

const ROOT = join(import.meta.dirname, '..', '..');
let scratch: string;
let p1: string;
let report: Report;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-export-'));
  execFileSync('tar', ['xf', join(ROOT, 'fixtures/captures/P1.tar.gz'), '-C', scratch]);
  p1 = join(scratch, 'P1.trace');
  expect((await trace('import', join(scratch, 'P1'), '-o', p1)).code).toBe(0);
  report = JSON.parse((await trace('analyze', p1, '--json', '--by', 'device,register')).out) as Report;
}, 60_000);
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

const ENV: Record<string, string> = {};

const trace = (...args: string[]): Promise<Ran> => traceIn(ENV, ...args);

/** P1 under another name of its device. */
function renamed(name: string): string {
  const dir = join(scratch, `renamed-${Math.random()}`);
  execFileSync('cp', ['-r', p1, dir]);
  const file = join(dir, 'manifest.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as { devices: { name: string }[] };
  manifest.devices[0]!.name = name;
  writeFileSync(file, JSON.stringify(manifest));
  return dir;
}

describe('trace export', () => {
  it('writes a table of a family', async () => {
    const file = join(scratch, 'mmio.csv');
    const ran = await trace('export', p1, '-f', 'csv', '--family', 'mmio', '-o', file);
    const [head, ...lines] = readFileSync(file, 'utf8').trim().split('\r\n');
    expect(ran).toEqual({ code: 0, out: `${lines.length} spans in ${file}\n`, err: '' });
    const total = head!.split(',').indexOf('total_ns');
    const totals = lines.map((l) => l.split(',')[total]!).filter((t) => t !== '');
    expect(totals).toHaveLength(report.mmio.total.count);
    expect(Math.max(...totals.map(Number))).toBe(report.mmio.total.max_ns);
    expect((await trace('export', p1, '-f', 'csv', '--family', 'mmio', '-o', '-')).out).toBe(
      readFileSync(file, 'utf8'),
    );
  });

  it('writes stacks that add up to the totals', async () => {
    const { out } = await trace('export', p1, '-f', 'folded', '--family', 'mmio', '-o', '-');
    const sum = out
      .trim()
      .split('\n')
      .reduce((ns, line) => ns + Number(line.slice(line.lastIndexOf(' '))), 0);
    const { count, mean_ns: mean } = report.mmio.total;
    expect(sum / (count * mean!)).toBeCloseTo(1, 4);
    const file = join(scratch, 'p1.speedscope.json');
    expect((await trace('export', p1, '-f', 'speedscope', '-o', file)).code).toBe(0);
    const profile = JSON.parse(readFileSync(file, 'utf8')) as {
      name: string;
      profiles: { weights: number[] }[];
    };
    expect([profile.name, profile.profiles.length]).toEqual([p1, 1]);
    expect(profile.profiles[0]!.weights.length).toBeGreaterThan(100);
  });

  it('writes a Perfetto trace with the tracks of every family', async () => {
    const file = join(scratch, 'p1.perfetto-trace');
    expect((await trace('export', p1, '-f', 'perfetto', '-o', file)).out).toMatch(/^675 spans in /);
    const text = readFileSync(file, 'latin1');
    for (const name of ['vCPU v0', 'blk0 SPI 33 vGIC', 'blk0 SPI 33 interrupts', 'blk0 queue 0'])
      expect(text).toContain(name);
    expect(text[0]).toBe('\n');
  });

  it('keeps names one cell and one frame', async () => {
    const dir = renamed('a;b "c",\n=d');
    const csv = await trace('export', dir, '-f', 'csv', '--family', 'request', '-o', '-');
    expect(csv.out).toContain('"a;b ""c"",\n=d"');
    const { out } = await trace('export', dir, '-f', 'folded', '--family', 'request', '-o', '-');
    expect(out).toMatch(/^request;a_b "c",_=d;queue 0;(in|out);[^;\n]+ \d+$/m);
  });

  it('refuses what it cannot do, and leaves nothing behind', async () => {
    const file = join(scratch, 'there');
    writeFileSync(file, 'mine');
    const to = (...args: string[]): Promise<Ran> => trace('export', ...args);
    expect(await to(p1, '-f', 'folded', '-o', file)).toMatchObject({ code: 4, out: '' });
    expect(readFileSync(file, 'utf8')).toBe('mine');
    expect(await to(p1, '-f', 'csv', '-o', file)).toMatchObject({ code: 2, out: '' });
    expect(await to(p1, '-f', 'perfetto', '-o', '-')).toMatchObject({ code: 2, out: '' });
    expect(await to(p1, '-f', 'nonsense', '-o', file)).toMatchObject({ code: 2, out: '' });
    expect(await to(p1, '-f', 'folded')).toMatchObject({ code: 2, out: '' });
    // A link to a device that is always full: root must not lose the device to the cleaning up.
    const full = join(scratch, 'full');
    if (existsSync('/dev/full')) {
      symlinkSync('/dev/full', full);
      const ran = await to(p1, '-f', 'perfetto', '-o', full, '--force');
      expect([ran.code, ran.err]).toEqual([
        4,
        expect.stringMatching(/^trace: E_WRITE: [^\n]*ENOSPC[^\n]*\n$/),
      ]);
      expect(lstatSync(full).isSymbolicLink()).toBe(true);
    }
    const none = join(scratch, 'no', 'folder');
    expect(await to(p1, '-f', 'folded', '-o', none)).toMatchObject({ code: 4, out: '' });
    expect(await to(join(scratch, 'none'), '-f', 'folded', '-o', none)).toMatchObject({ code: 4, out: '' });
    expect(await to(p1, '-f', 'folded', '-o', file, '--force')).toMatchObject({ code: 0, err: '' });
  });
});

const missing = clickhouseMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

describe.skipIf(missing !== undefined)('trace sql', () => {
  beforeAll(() => {
    ENV['IOREQ_TRACE_CHDB'] = installedClickHouse()!;
  });

  const rows = async (dir: string, sql: string): Promise<Record<string, unknown>[]> => {
    const { code, out, err } = await trace('sql', dir, sql, '--json');
    expect([code, err]).toEqual([0, '']);
    return (JSON.parse(out) as { data: Record<string, unknown>[] }).data;
  };

  it('gives the figures of the report', async () => {
    const [all] = await rows(
      p1,
      'SELECT toUInt32(count(total)) AS count, avg(total) AS mean, quantileExactLow(0.5)(total) AS p50, ' +
        'min(total) AS min, max(total) AS max FROM spans_mmio',
    );
    const { count, mean_ns, min_ns, max_ns, p50_ns } = report.mmio.total;
    expect(all).toMatchObject({ count, p50: p50_ns, min: min_ns, max: max_ns });
    expect((all!['mean'] as number) / mean_ns!).toBeCloseTo(1, 12);
    const groups = await rows(
      p1,
      'SELECT device, register, direction, toUInt32(count(total)) AS n FROM spans_mmio ' +
        'WHERE device IS NOT NULL GROUP BY ALL HAVING n > 0 ORDER BY ALL',
    );
    const expected = report.groups
      .filter((g) => g.family === 'mmio' && g.total.count > 0)
      .map((g) => ({ ...g.by, n: g.total.count }));
    expect(groups).toHaveLength(expected.length);
    expect(groups).toEqual(expect.arrayContaining(expected));
    const [others] = await rows(
      p1,
      'SELECT toUInt32((SELECT count(total) FROM spans_request)) AS requests, ' +
        'toUInt32((SELECT count(total) FROM spans_interrupt)) AS interrupts, ' +
        'toUInt32((SELECT count() FROM events)) AS events, (SELECT name FROM devices) AS device',
    );
    expect(others).toEqual({
      requests: report.requests.total.count,
      interrupts: report.interrupts.total.count,
      events: report.counts.events,
      device: 'blk0',
    });
  });

  it('has the events on the axis, and 64-bit integers whole', async () => {
    const [edge] = await rows(
      p1,
      "SELECT max(addr) AS most, min(t) AS first, max(t) AS last, countIf(t IS NULL AND source != 'dm-log') AS untimed, " +
        "countIf(name = '') AS nameless FROM events",
    );
    expect(edge).toMatchObject({ first: 0, last: report.trace.duration_ns, untimed: '0', nameless: '0' });
    expect(edge!['most']).toMatch(/^18446744\d{12}$/);
  });

  it('prints tables and CSV, and writes Arrow and Parquet', async () => {
    const table = await trace('sql', p1, "SELECT 'a' AS x, toUInt64(18446744073709551615) AS y;  ");
    expect(table.out).toBe(
      '┌─x─┬────────────────────y─┐\n│ a │ 18446744073709551615 │\n└───┴──────────────────────┘\n',
    );
    expect((await trace('sql', p1, 'SELECT 1 AS a, NULL AS b', '-f', 'csv')).out).toBe('"a","b"\n1,\\N\n');
    const file = join(scratch, 'spans.arrows');
    const sql = 'SELECT start, total, register FROM spans_mmio -- all';
    expect(await trace('sql', p1, sql, '-f', 'arrow', '-o', file)).toEqual({ code: 0, out: '', err: '' });
    const read = tableFromIPC(readFileSync(file));
    expect(read.schema.fields.map((f) => f.name)).toEqual(['start', 'total', 'register']);
    const totals = [...read.getChild('total')!].filter((t): t is number => t !== null);
    expect([totals.length, Math.max(...totals)]).toEqual([report.mmio.total.count, report.mmio.total.max_ns]);
    const parquet = join(scratch, "it's.parquet");
    expect((await trace('sql', p1, sql, '-f', 'parquet', '-o', parquet)).code).toBe(0);
    expect(readFileSync(parquet, 'latin1')).toMatch(/^PAR1[^]*PAR1$/);
    expect((await trace('sql', p1, sql, '-f', 'parquet', '-o', parquet)).err).toContain('E_EXISTS');
  });

  it('takes names with anything in them, and traces without anything', async () => {
    const dir = renamed(`it's \\ "x" \u001b[31m`);
    expect(await rows(dir, 'SELECT DISTINCT device FROM spans_request')).toEqual([
      { device: `it's \\ "x" \u001b[31m` },
    ]);
    const { out } = await trace('sql', dir, 'SELECT name FROM devices');
    expect(out).not.toContain('\u001b');
    const small = join(scratch, "sm'all");
    writeSmallTrace(small, [3]);
    const [count] = await rows(small, 'SELECT toUInt8(count()) AS n FROM events');
    expect(count!['n']).toBeGreaterThan(0);
    expect(await rows(small, 'SELECT * FROM spans_request')).toEqual([]);
    expect(await rows(small, 'SELECT * FROM devices')).toEqual([]);
  });

  it('is Parquet that another reader takes, for trace export too', async () => {
    const read = async (path: string): Promise<Record<string, unknown>[]> =>
      parquetReadObjects({ file: await asyncBufferFromFile(path) });
    for (const family of ['mmio', 'request'] as const) {
      const file = join(scratch, `it's ${family}.parquet`);
      const ran = await trace('export', p1, '-f', 'parquet', '--family', family, '-o', file);
      const spans = await read(file);
      expect(ran).toEqual({ code: 0, out: `${spans.length} spans in ${file}\n`, err: '' });
      const { total } = family === 'mmio' ? report.mmio : report.requests;
      const totals = spans.map((span) => span['total']).filter((t): t is number => t !== null);
      expect([totals.length, Math.max(...totals)]).toEqual([total.count, total.max_ns]);
      const sort = (list: Record<string, unknown>[]): string[] =>
        list
          .map((row) =>
            JSON.stringify(Object.entries(row), (_k, v: unknown) => (typeof v === 'bigint' ? Number(v) : v)),
          )
          .sort();
      expect(sort(spans)).toEqual(sort(await rows(p1, `SELECT * FROM spans_${family}`)));
    }
    const none = join(scratch, 'none.parquet');
    const small = join(scratch, 'small-parquet');
    writeSmallTrace(small, [3]);
    for (const args of [
      [small, '--family', 'injection'],
      [p1],
      [p1, '--family', 'mmio', '-o', '-'],
      ['clickhouse://h/d/0123456789abcdef', '--family', 'mmio'],
    ]) {
      const ran = await trace('export', '-f', 'parquet', '-o', none, ...args);
      expect([ran.out, ran.err]).toEqual(['', expect.stringMatching(/^trace: E_(NO_DATA|USAGE): [^\n]+\n$/)]);
    }
    expect(existsSync(none)).toBe(false);
    const engine = ENV['IOREQ_TRACE_CHDB']!;
    ENV['IOREQ_TRACE_CHDB'] = scratch;
    const absent = await trace('export', p1, '-f', 'parquet', '--family', 'mmio', '-o', none);
    ENV['IOREQ_TRACE_CHDB'] = engine;
    expect(absent).toEqual({
      code: 4,
      out: '',
      err: expect.stringMatching(/^trace: E_NOT_FOUND: Parquet needs the package chdb[^\n]+\n$/) as string,
    });
  });

  it('says in one line what is wrong', async () => {
    const line = (code: string): unknown => expect.stringMatching(new RegExp(`^trace: ${code}: [^\\n]+\\n$`));
    const check = async (code: number, error: string, ...args: string[]): Promise<void> => {
      expect(await trace('sql', ...args)).toEqual({ code, out: '', err: line(error) });
    };
    await check(2, 'E_USAGE', p1, 'SELECT nope FROM events');
    await check(2, 'E_USAGE', p1, 'hello\nworld');
    await check(2, 'E_USAGE', p1, 'SELECT 1', '-f', 'arrow');
    await check(2, 'E_USAGE', 'clickhouse://h/d', 'SELECT 1');
    await check(4, 'E_NOT_FOUND', join(scratch, 'none'), 'SELECT 1');
    await check(4, 'E_WRITE', p1, 'SELECT 1', '-o', join(scratch, 'no', 'file'));
    const broken = join(scratch, 'broken.csv');
    await check(2, 'E_USAGE', p1, 'SELECT nope', '-o', broken);
    expect(existsSync(broken)).toBe(false);
    mkdirSync(join(scratch, 'bare'));
    writeFileSync(join(scratch, 'bare', 'package.json'), '{}');
    const engine = ENV['IOREQ_TRACE_CHDB']!;
    ENV['IOREQ_TRACE_CHDB'] = join(scratch, 'bare');
    const absent = await trace('sql', p1, 'SELECT 1');
    ENV['IOREQ_TRACE_CHDB'] = engine;
    expect([absent.code, absent.out]).toEqual([4, '']);
    expect(absent.err).toMatch(
      /^trace: E_NOT_FOUND: trace sql needs the package chdb[^\n]+npm install[^\n]+\n$/,
    );
  });
});
