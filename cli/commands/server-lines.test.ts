import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TlsOptions } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { importCapture } from '../../collector/import.ts';
import { withCapture } from '../../fixtures/captures.ts';
import { removeBuild } from '../../fixtures/child-build.ts';
import { Authority, opensslMissing, tlsOptions } from '../../fixtures/clickhouse/certificates.ts';
import type { Line, Proxy } from '../../fixtures/clickhouse/proxy.ts';
import { startProxy } from '../../fixtures/clickhouse/proxy.ts';
import type { ClickHouseServer } from '../../fixtures/clickhouse/server.ts';
import { clickhouseMissing, startClickHouse } from '../../fixtures/clickhouse/server.ts';
import { buildCommandLine, startCommand } from '../testing/child.ts';
import type { Ran } from '../testing/command-line.ts';
import { traceIn } from '../testing/command-line.ts';

const missing = clickhouseMissing() ?? opensslMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

describe.skipIf(missing !== undefined)('the line to a ClickHouse server', () => {
  let clickhouse: ClickHouseServer;
  let scratch: string;
  let dir: string;
  let authority: Authority;
  let env: Record<string, string>;
  const proxies: Proxy[] = [];
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-lines-'));
    dir = join(scratch, 'trace');
    authority = new Authority(scratch, 'authority');
    clickhouse = await startClickHouse();
    await withCapture('A2', (raw) => importCapture([raw], dir, { tool: { name: 'test', version: '0' } }));
    env = {
      IOREQ_TRACE_CLICKHOUSE_USER: clickhouse.user,
      IOREQ_TRACE_CLICKHOUSE_PASSWORD: clickhouse.password,
    };
    const load = await traceIn(env, 'load', dir, '--clickhouse', `${clickhouse.url}/lines`);
    expect([load.code, load.err]).toEqual([0, '']);
  }, 90_000);
  afterEach(async () => {
    for (const proxy of proxies.splice(0)) await proxy.close();
  });
  afterAll(async () => {
    await clickhouse.remove();
    rmSync(scratch, { recursive: true, force: true });
  });

  async function proxy(line: Line, tls?: TlsOptions): Promise<Proxy> {
    const made = await startProxy(clickhouse.httpPort, line, tls);
    proxies.push(made);
    return made;
  }
  async function secure(tls: TlsOptions): Promise<string> {
    return `clickhouses://127.0.0.1:${(await proxy({}, tls)).port}/lines`;
  }
  const trend = (url: string, more: Record<string, string> = {}): Promise<Ran> =>
    traceIn({ ...env, ...more }, 'trend', '--clickhouse', url, '--of', 'mmio.p50', '--by', 'build');
  /** One line of E_SERVER, without the password, in less time than a person would wait. */
  async function refused(what: string, of: () => Promise<Ran>, most = 5000): Promise<void> {
    const begun = Date.now();
    const ran = await of();
    expect([ran.code, ran.out]).toEqual([8, '']);
    expect(ran.err).toMatch(/^trace: E_SERVER: [^\n]+\n$/);
    expect(ran.err).toContain(what);
    expect(ran.err).not.toContain(clickhouse.password);
    expect(Date.now() - begun).toBeLessThan(most);
  }

  describe('TLS', () => {
    it('is spoken with a certificate of an own authority, and with one of the client', async () => {
      const own = authority.issue('server', 'IP:127.0.0.1');
      const client = authority.issue('client', 'DNS:client');
      const url = await secure({
        ...tlsOptions(own),
        ca: readFileSync(authority.cert),
        requestCert: true,
        rejectUnauthorized: true,
      });
      const named = `${url}?ca=${authority.cert}&cert=${client.cert}&key=${client.key}`;
      const load = await traceIn(env, 'load', dir, '--clickhouse', named);
      expect(load).toEqual({
        code: 0,
        err: '',
        out: expect.stringMatching(
          /^clickhouses:[^?]+\/lines\/[0-9a-f]{16}: is there already, whole/,
        ) as string,
      });
      const [place] = load.out.split(': is');
      const report = await traceIn(env, 'analyze', `${place!}${named.slice(url.length)}`);
      expect([report.code, report.err]).toEqual([0, '']);
      expect(report.out).toContain('ioreqs');
      await refused('client certificate', () => trend(`${url}?ca=${authority.cert}`));
      const other = new Authority(scratch, 'stranger').issue('guest', 'DNS:guest');
      await refused('client certificate', () =>
        trend(`${url}?ca=${authority.cert}&cert=${other.cert}&key=${other.key}`),
      );
    });

    it('is refused of whom it should not be trusted', async () => {
      const good = await secure(tlsOptions(authority.issue('good', 'IP:127.0.0.1')));
      await refused('of no authority that is known here: name its own by ?ca=FILE', () => trend(good));
      const other = new Authority(scratch, 'other');
      await refused('of no authority that is known here', () => trend(`${good}?ca=${other.cert}`));
      const expired = await secure(tlsOptions(authority.issue('expired', 'IP:127.0.0.1', -1)));
      await refused('certificate has expired', () => trend(`${expired}?ca=${authority.cert}`));
      const elsewhere = await secure(tlsOptions(authority.issue('elsewhere', 'DNS:db.example')));
      await refused('certificate is for another host', () => trend(`${elsewhere}?ca=${authority.cert}`));
    });

    it('and none are told apart', async () => {
      const plain = `clickhouses://127.0.0.1:${clickhouse.httpPort}/lines`;
      await refused('speaks no TLS on this port', () => trend(plain));
      const good = await secure(tlsOptions(authority.issue('plain', 'IP:127.0.0.1')));
      await refused('the connection failed', () => trend(good.replace('clickhouses:', 'clickhouse:')));
    });

    it('takes no file that holds no certificate', async () => {
      const good = await secure(tlsOptions(authority.issue('files', 'IP:127.0.0.1')));
      const pair = authority.issue('pair', 'DNS:pair');
      const bad = await trend(`${good}?ca=${join(dir, 'manifest.json')}`);
      expect([bad.code, bad.err]).toEqual([8, expect.stringMatching(/^trace: E_SERVER: [^\n]+\n$/)]);
      const crossed = await trend(
        `${good}?ca=${authority.cert}&cert=${pair.cert}&key=${authority.issue('third', 'DNS:x').key}`,
      );
      expect([crossed.code, crossed.err]).toEqual([8, expect.stringMatching(/^trace: E_SERVER: [^\n]+\n$/)]);
    });
  });

  describe('that is slow', () => {
    it('is given up after the time of the URL, at first contact', async () => {
      const { port } = await proxy({ stallAfter: 0 });
      await refused('it does not answer', () => trend(`clickhouse://127.0.0.1:${port}/lines?timeout=0.3`));
    });

    it('is given up amid an answer', async () => {
      const slow = await proxy({});
      const query = 'SELECT * FROM events';
      const { out } = await traceIn(env, 'load', dir, '--clickhouse', `${clickhouse.url}/lines`);
      const trace = /\/([0-9a-f]{16}):/.exec(out)![1]!;
      const url = `clickhouse://127.0.0.1:${slow.port}/lines/${trace}?timeout=1`;
      expect((await traceIn(env, 'sql', url, query, '-f', 'csv')).code).toBe(0);
      const file = join(scratch, 'stalled.csv');
      slow.line.stallAfter = 1_000_000;
      await refused('it does not answer', () => traceIn(env, 'sql', url, query, '-f', 'csv', '-o', file));
      expect(readdirSync(scratch)).not.toContain('stalled.csv');
    });

    it('is waited for as long as something comes', async () => {
      const { port } = await proxy({ rate: 5000 });
      const ran = await trend(`clickhouse://127.0.0.1:${port}/lines?timeout=1`);
      expect([ran.code, ran.err]).toEqual([3, expect.stringContaining('no recording there has label build')]);
    });
  });

  it('never shows the password: not to other users of the machine, in no message', async () => {
    const build = buildCommandLine();
    try {
      const slow = await proxy({ rate: 5000 });
      const url = `clickhouse://127.0.0.1:${slow.port}/other`;
      const load = startCommand(build, env, 'load', dir, '--clickhouse', url);
      await expect.poll(() => slow.connections(), { timeout: 20_000 }).toBeGreaterThan(0);
      const { pid } = load.process;
      expect(readFileSync(`/proc/${pid!}/cmdline`, 'utf8')).toContain(url);
      expect(readFileSync(`/proc/${pid!}/cmdline`, 'utf8')).not.toContain(clickhouse.password);
      load.process.kill('SIGINT');
      const ran = await load.ended;
      expect(ran.code).toBe(130);
      const secret = encodeURIComponent(clickhouse.password);
      const inUrl = `clickhouse://${clickhouse.user}:${secret}@127.0.0.1:${clickhouse.httpPort}/lines`;
      const junit = join(scratch, 'junit.xml');
      const { out, err } = await traceIn({}, 'load', dir, '--clickhouse', inUrl);
      expect(err).toBe('');
      const trace = `${inUrl}/${/\/([0-9a-f]{16}):/.exec(out)![1]!}`;
      const texts = [
        ran,
        await traceIn({}, 'analyze', trace, '--fail-on', 'mmio.p50 > 1ns', '--junit', junit),
      ];
      texts.push(await traceIn({}, 'diff', trace, dir, '--fail-on', 'mmio.p50 > +1%'));
      texts.push(
        await traceIn({}, 'analyze', trace, '--json'),
        await traceIn({}, 'sql', trace, 'SELECT nope'),
      );
      expect(texts.map((t) => t.code)).toEqual([130, 1, 0, 0, 2]);
      for (const text of [...texts.flatMap((t) => [t.out, t.err]), out, readFileSync(junit, 'utf8')])
        for (const shown of [clickhouse.password, secret, 'only for']) expect(text).not.toContain(shown);
    } finally {
      removeBuild(build);
    }
  });
});
