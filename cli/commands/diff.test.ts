import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Diff } from '../../analyzer/compare/diff.ts';
import type { Report } from '../../analyzer/report/document.ts';
import type { ClickHouseServer } from '../../fixtures/clickhouse/server.ts';
import { clickhouseMissing, startClickHouse } from '../../fixtures/clickhouse/server.ts';
import { trace } from '../testing/command-line.ts';

const ROOT = join(import.meta.dirname, '..', '..');
let scratch: string;
let a2: string;
let p1: string;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-diff-'));
  for (const name of ['A2', 'P1']) {
    execFileSync('tar', ['xf', join(ROOT, `fixtures/captures/${name}.tar.gz`), '-C', scratch]);
    expect((await trace('import', join(scratch, name), '-o', join(scratch, `${name}.trace`))).code).toBe(0);
  }
  a2 = join(scratch, 'A2.trace');
  p1 = join(scratch, 'P1.trace');
}, 60_000);
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

async function report(dir: string, ...args: string[]): Promise<string> {
  return (await trace('analyze', dir, '--json', ...args)).out;
}

function kept(name: string, text: string): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
}

/** The same recording with all times of mmio longer. */
function slower(text: string, factor: number): string {
  const changed = JSON.parse(text) as Report;
  const stretch = (of: object): void => {
    for (const [key, value] of Object.entries(of))
      if (key.endsWith('_ns') && typeof value === 'number') Object.assign(of, { [key]: value * factor });
  };
  for (const of of [changed.mmio, ...changed.groups.filter((g) => g.family === 'mmio')])
    [of.total, ...of.stages].forEach(stretch);
  return JSON.stringify(changed);
}

describe('trace diff', () => {
  it('of a recording with itself finds nothing, and a kept report is the recording', async () => {
    const text = await report(p1);
    const { code, out, err } = await trace('diff', p1, kept('same.json', text), '--json');
    expect([code, err]).toEqual([0, '']);
    const diff = JSON.parse(out) as Diff;
    expect(diff.differences).toEqual([]);
    const whole = diff.rows.filter((r) => r.by === null);
    const { mmio, interrupts } = JSON.parse(text) as Report;
    expect(whole.find((r) => r.family === 'mmio' && r.stage === null)).toMatchObject({
      count_a: mmio.total.count,
      count_b: mmio.total.count,
      p99: { a_ns: mmio.total.p99_ns, b_ns: mmio.total.p99_ns, delta_ns: 0, percent: 0 },
    });
    expect(whole.map((r) => r.family)).toContain('injection');
    expect(interrupts.injection!.total.count).toBeGreaterThan(0);
    for (const r of whole) {
      expect(r.p50.delta_ns).toBe(0);
      expect([r.p50.significant, r.p99.significant]).not.toContain(true);
    }
    // The report was kept without groups.
    expect(diff.rows.filter((r) => r.by !== null).every((r) => r.only_in === 'A')).toBe(true);
  });

  it('tells a change that is none of chance from one that may be', async () => {
    const text = await report(p1);
    const a = kept('a.json', text);
    const { out } = await trace('diff', a, kept('b.json', slower(text, 2)), '--json');
    const mmio = (JSON.parse(out) as Diff).rows.find((r) => r.family === 'mmio' && r.stage === null)!;
    const { total } = (JSON.parse(text) as Report).mmio;
    // Twice as long, and the medians' intervals are apart.
    expect(total.p50_hi_ns!).toBeLessThan(2 * total.p50_lo_ns!);
    expect(mmio.p50).toMatchObject({ delta_ns: total.p50_ns, percent: 100, significant: true });
    expect(mmio.p50.lo_ns).toBe(2 * total.p50_lo_ns! - total.p50_hi_ns!);
    expect(mmio.p50.hi_ns).toBe(2 * total.p50_hi_ns! - total.p50_lo_ns!);
    const little = await trace('diff', a, kept('c.json', slower(text, 1.001)), '--json');
    const same = (JSON.parse(little.out) as Diff).rows.find((r) => r.family === 'mmio' && r.stage === null)!;
    expect([same.p50.significant, same.p99.significant === true]).toEqual([false, false]);
  });

  it('prints a table, the largest change of p99 first, and says what makes recordings unlike', async () => {
    const { code, out, err } = await trace('compare', p1, a2, '--top', '7');
    expect(code).toBe(0);
    const lines = out.split('\n');
    expect(lines.slice(0, 2)).toEqual([`A  ${p1}`, `B  ${a2}`]);
    expect(lines[3]).toMatch(/^group +n A +n B +p50 A +p50 B +p99 A +p99 B +Δ p99 +Δ % +between$/);
    expect(lines[11]).toMatch(/^… \d+ more/);
    expect(err).toContain('other hooks were on');
    expect(err).toMatch(/only A shows of mmio: .*send→dom0_irq/);
    const { rows } = JSON.parse((await trace('diff', p1, a2, '--json')).out) as Diff;
    const sizes = rows
      .filter((r) => Math.min(r.count_a, r.count_b) >= 10)
      .map((r) => Math.abs(r.p99.delta_ns ?? -1));
    expect(sizes.length).toBeGreaterThan(10);
    expect(sizes).toEqual([...sizes].sort((x, y) => y - x));
    const by = JSON.parse((await trace('diff', p1, a2, '--json', '--by', 'vcpu')).out) as Diff;
    expect(by.rows.find((r) => r.by !== null)!.by).toHaveProperty('vcpu');
  });

  it('keeps hostile names from the terminal', async () => {
    const text = (await report(p1, '--by', 'device')).replaceAll('blk0', 'b\\u001b[31m\\n\\u202elk');
    const { out } = await trace('diff', kept('h.json', text), kept('h2.json', text));
    expect(out).toContain('b\\x1b[31m\\x0a\\u{202e}lk');
    expect(out).not.toMatch(/[\u001b\u202e]/);
  });
});

describe('bad input', () => {
  it.each<[string, string, number, string]>([
    ['nothing', '', 3, 'E_EMPTY'],
    ['no JSON', 'hello', 3, 'E_FOREIGN'],
    ['another document', '{"format":"x"}', 3, 'E_FOREIGN'],
    ['a list', '[]', 3, 'E_FOREIGN'],
    ['a report cut off', '{"format":"ioreq-trace-report","version":1,"tra', 3, 'E_TRUNCATED'],
    ['a newer report', '{"format":"ioreq-trace-report","version":2}', 5, 'E_TRACE_VERSION'],
    ['a hollow report', '{"format":"ioreq-trace-report","version":1}', 3, 'E_BAD_RECORD'],
  ])('%s is one line', async (_what, text, code, error) => {
    const ran = await trace('diff', kept('bad.json', text), a2);
    expect([ran.code, ran.out]).toEqual([code, '']);
    expect(ran.err).toMatch(new RegExp(`^trace: ${error}: [^\\n]+\\n$`));
  });

  it('a report with any part put wrong is refused by the part or still compares', async () => {
    const good = JSON.parse(await report(p1, '--by', 'device')) as Record<string, unknown>;
    const places: [Record<string, unknown>, string][] = [];
    const walk = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      for (const [key, inner] of Object.entries(value)) {
        places.push([value as Record<string, unknown>, key]);
        if (!['histogram', 'slowest', 'plan'].includes(key)) walk(inner);
      }
    };
    walk(good);
    const step = Math.max(1, Math.floor(places.length / 120));
    let refused = 0;
    for (let n = 0; n < places.length; n += step) {
      const [object, key] = places[n]!;
      const was = object[key];
      object[key] = n % 2 === 0 ? null : { x: ['\u001b'] };
      const file = kept('odd.json', JSON.stringify(good));
      object[key] = was;
      const ran = await trace('diff', file, file, '--fail-on', 'mmio.p99 > 1s');
      expect([ran.code, ran.err]).not.toEqual([70, expect.anything()]);
      expect(ran.err).not.toContain('E_INTERNAL');
      if (ran.code === 3) refused++;
    }
    expect(refused).toBeGreaterThan(10);
  });

  it('missing operands, groupings and files that cannot be written', async () => {
    expect(await trace('diff', join(scratch, 'none'), a2)).toMatchObject({ code: 4, out: '' });
    expect(await trace('diff', a2)).toMatchObject({ code: 2, out: '' });
    expect(await trace('diff', a2, a2, '--by', 'shoe')).toMatchObject({ code: 2, out: '' });
    mkdirSync(join(scratch, 'folder'), { recursive: true });
    const fail = ['--fail-on', 'mmio.count > 1', '--junit', join(scratch, 'folder')];
    const ran = await trace('analyze', a2, ...fail);
    expect(ran.code).toBe(4);
    expect(ran.err).toMatch(/trace: E_WRITE: [^\n]+\n$/);
    expect(await trace('analyze', a2, '--junit', 'x')).toMatchObject({ code: 2, out: '' });
    expect(await trace('analyze', a2, '--fail-on', 'mmio.p99 > +1%')).toMatchObject({ code: 2, out: '' });
    const truth = await trace('analyze', p1, '--truth', '--fail-on', 'mmio.p99 > 1s');
    expect(truth).toMatchObject({ code: 2, out: '' });
  });
});

describe('--fail-on', () => {
  it('ends with 1 if one holds, or has no figure, and 0 otherwise', async () => {
    const passed = await trace('analyze', p1, '--fail-on', 'mmio.p99 > 100s', '--fail-on', 'counts.lost > 0');
    expect([passed.code, passed.err]).toEqual([0, '']);
    const { mmio } = JSON.parse(await report(p1)) as Report;
    const bound = `${Math.floor(mmio.total.p50_ns!)}ns`;
    const failed = await trace('analyze', p1, '--json', '--fail-on', `mmio.p50 > ${bound}`);
    expect(failed.code).toBe(1);
    expect(failed.err).toMatch(new RegExp(`^failed: mmio\\.p50 > ${bound}: \\S+ ms \\(371 values\\)\\n$`));
    expect((JSON.parse(failed.out) as Report).groups).toEqual([]);
    const group = 'mmio[device=blk0,register=QueueNotify].count < 102';
    expect((await trace('analyze', p1, '--fail-on', group)).err).toContain('blk0 QueueNotify write: 101');
    const missing = await trace('analyze', p1, '--fail-on', 'mmio[device=nope].p50 < 1ns');
    expect([missing.code, missing.err]).toEqual([
      1,
      'not passed: mmio[device=nope].p50 < 1ns: no figure: there is no such group\n',
    ]);
  });

  it('looks at changes', async () => {
    const text = await report(p1);
    const files = [kept('a.json', text), kept('b.json', slower(text, 1.2))] as const;
    expect((await trace('diff', ...files, '--fail-on', 'mmio.p99 > +21%')).code).toBe(0);
    const { code, err } = await trace('diff', ...files, '--fail-on', 'mmio.p99 > +19%');
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/^failed: mmio\.p99 > \+19%: .*: \+20 % \(371 values\)\n$/),
    ]);
  });

  const python = spawnSync('python3', ['--version']).status === 0;
  it.skipIf(!python)(
    'writes JUnit that a reader of XML takes, whatever the names (needs python3)',
    async () => {
      const xml = join(scratch, 'junit.xml');
      const hostile = 'mmio[device="<a&\'\u0007\ud800]]>\u202e"].p50 > 1ns';
      const conditions = ['mmio.p50 > 1ns', 'mmio.p50 > 100s', hostile].flatMap((c) => ['--fail-on', c]);
      expect((await trace('analyze', p1, ...conditions, '--junit', xml)).code).toBe(1);
      const script = [
        'import json, sys, xml.etree.ElementTree as E',
        'r = E.parse(sys.argv[1]).getroot()',
        'print(json.dumps([r.tag, r.attrib, [[s.tag, s.attrib, [[c.tag, c.attrib, [[e.tag, e.attrib, e.text]',
        '  for e in c]] for c in s]] for s in r]]))',
      ].join('\n');
      const read = spawnSync('python3', ['-c', script, xml], { encoding: 'utf8' });
      expect(read.stderr).toBe('');
      const [tag, attributes, suites] = JSON.parse(read.stdout) as [
        string,
        object,
        [string, object, unknown[]][],
      ];
      const counts = { tests: '3', failures: '1', errors: '1' };
      expect([tag, attributes]).toEqual(['testsuites', {}]);
      const [suite] = suites;
      expect(suite!.slice(0, 2)).toEqual([
        'testsuite',
        {
          ...counts,
          name: `trace analyze ${p1}`,
          package: 'ioreq-trace',
          id: '0',
          timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/) as string,
          hostname: hostname(),
          skipped: '0',
          time: '0',
        },
      ]);
      const parts = suite![2] as [
        string,
        Record<string, string>,
        [string, Record<string, string>, string][],
      ][];
      expect(parts.map(([part]) => part)).toEqual([
        ...['properties', 'testcase', 'testcase', 'testcase', 'system-out', 'system-err'],
      ]);
      const cases = parts.slice(1, 4);
      expect(cases.map(([t, a, [first]]) => [t, Object.keys(a).sort(), a['name'], first?.[0]])).toEqual([
        ['testcase', ['classname', 'name', 'time'], 'mmio.p50 > 1ns', 'failure'],
        ['testcase', ['classname', 'name', 'time'], 'mmio.p50 > 100s', undefined],
        ['testcase', ['classname', 'name', 'time'], hostile.replace(/[\u0007\ud800]/g, '\ufffd'), 'error'],
      ]);
      expect(cases[0]![2][0]![1]).toMatchObject({ type: 'condition', message: cases[0]![2][0]![2] });
      expect(readFileSync(xml, 'utf8')).not.toContain('\u0007');
      expect(readFileSync(xml, 'utf8')).toMatch(
        /<system-out>mmio\.p50 &#62; 100s: \S+ ms \(371 values\)&#10;</,
      );
    },
  );

  const xmllint = spawnSync('xmllint', ['--version']).status === 0;
  if (!xmllint) console.warn('skipped: no xmllint here (Debian: libxml2-utils)');
  it.skipIf(!xmllint)("writes JUnit that is as readers of Ant's reports want it", async () => {
    const schema = join(ROOT, 'fixtures/junit/report.xsd');
    const check = (path: string): { status: number | null; stderr: string } =>
      spawnSync('xmllint', ['--noout', '--nonet', '--schema', schema, path], { encoding: 'utf8' });
    const xml = join(scratch, 'valid.xml');
    const conditions = ['mmio.p50 > 1ns', 'mmio.p50 > 100s', 'mmio[device="<a\'\u0007\ud800]]>"].p50 > 1ns'];
    for (const some of [conditions, conditions.slice(1, 2), conditions.slice(2)]) {
      const ran = await trace('analyze', p1, ...some.flatMap((c) => ['--fail-on', c]), '--junit', xml);
      expect(ran.code).toBe(some.length === 1 && some[0] === conditions[1] ? 0 : 1);
      const { status, stderr } = check(xml);
      expect([status, stderr]).toEqual([0, `${xml} validates\n`]);
    }
    // The schema refuses what it should.
    const wrong = kept('wrong.xml', readFileSync(xml, 'utf8').replace(' type="no figure"', ''));
    expect(check(wrong).status).toBe(3);
  });
});

const missing = clickhouseMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

describe.skipIf(missing !== undefined)('a trace in a database', () => {
  let server: ClickHouseServer;
  beforeAll(async () => {
    server = await startClickHouse();
  }, 90_000);
  afterAll(() => server.remove());

  it('is the one that was loaded', { timeout: 90_000 }, async () => {
    const { host } = new URL(server.url);
    const url = `clickhouse://${server.user}:${encodeURIComponent(server.password)}@${host}/farm`;
    const loaded = await trace('load', p1, '--clickhouse', url);
    expect([loaded.code, loaded.err]).toEqual([0, '']);
    const id = /\b[0-9a-f]{16}\b/.exec(loaded.out)![0];
    const xml = join(scratch, 'server.xml');
    const conditions = ['mmio[device=blk0,register=QueueNotify].count > 101', 'mmio.p99 > +0.1%'];
    const ran = await trace(
      ...['diff', p1, `${url}/${id}`, '--json', '--junit', xml],
      ...conditions.flatMap((c) => ['--fail-on', c]),
    );
    expect([ran.code, ran.err]).toEqual([0, '']);
    const { rows } = JSON.parse(ran.out) as Diff;
    expect(rows.length).toBeGreaterThan(60);
    for (const row of rows) expect([row.p50.delta_ns, row.p99.delta_ns, row.only_in]).toEqual([0, 0, null]);
    expect(rows.filter((r) => r.by !== null && r.family === 'requests').length).toBeGreaterThan(0);
    expect(readFileSync(xml, 'utf8') + ran.out).not.toContain(encodeURIComponent(server.password));
    const failed = await trace(
      'analyze',
      `${url}/${id}`,
      '--fail-on',
      'mmio[register=QueueNotify].count > 100',
    );
    expect([failed.code, failed.err]).toEqual([
      1,
      'failed: mmio[register=QueueNotify].count > 100: QueueNotify write: 101 (101 values)\n',
    ]);
  });
});
