import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeLargeTrace } from '../fixtures/scale/large-trace.ts';
import type { Findings, Manifest } from '../trace/manifest.ts';
import { openTrace } from '../trace/open.ts';
import { keepFindings } from './keep-findings.ts';
import { analyzeTrace } from './report/build.ts';

describe.each([false, true])('what a trace keeps of the first look, patched: %s', (patched) => {
  const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-findings-'));
  const dir = join(work, 'trace');
  const path = join(dir, 'manifest.json');
  let kept: Manifest;
  beforeAll(async () => {
    await writeLargeTrace(dir, { events: 50_000, patched, tiles: 2, tileIoreqs: 200, vcpus: 3 });
    kept = openTrace(dir).manifest;
  });
  afterAll(() => {
    rmSync(work, { recursive: true });
  });

  const report = (change: (manifest: Manifest) => void): string => {
    const manifest = structuredClone(kept);
    change(manifest);
    writeFileSync(path, JSON.stringify(manifest));
    return JSON.stringify(analyzeTrace(openTrace(dir), { path: 'trace', by: ['device', 'vcpu'] }));
  };
  const looked = (): string =>
    report((manifest) => {
      delete manifest.findings;
    });
  const lie = (findings: Findings): void => {
    findings.ports = findings.ports.map(({ port, vcpu }) => ({ port, vcpu: (vcpu + 1) % 3 }));
    findings.answers += 17;
  };

  it('makes no difference to a report', () => {
    expect(kept.findings?.ports.length).toBe(3);
    expect(report(() => undefined)).toBe(looked());
  });

  it('is what the report rests on: another port table gives another report', () => {
    expect(
      report((manifest) => {
        lie(manifest.findings!);
      }),
    ).not.toBe(looked());
  });

  it.each([
    ['another clock relation', (m: Manifest) => (m.clock!.offsetNs += 1000)],
    ['other device models', (m: Manifest) => m.deviceModels.push({ pid: 1, name: 'init', threads: [1] })],
    ['another number of vCPUs', (m: Manifest) => (m.vcpus = 7)],
    ['another finder', (m: Manifest) => (m.findings!.from = m.findings!.from.replace('[1,', '[0,'))],
  ])('does not hold with %s', (_, change) => {
    const asked = report((manifest) => {
      lie(manifest.findings!);
      change(manifest);
    });
    const again = report((manifest) => {
      change(manifest);
      delete manifest.findings;
    });
    expect(asked).toBe(again);
  });

  it('is not kept, and does not hold, where records were lost', () => {
    const lost = (manifest: Manifest): void => {
      manifest.sources[0]!.kinds[patched ? 'xen.lost' : 'dom0.lost'] = 1;
    };
    const asked = report((manifest) => {
      lie(manifest.findings!);
      lost(manifest);
    });
    const again = report((manifest) => {
      lost(manifest);
      delete manifest.findings;
    });
    expect(asked).toBe(again);
    keepFindings(dir);
    expect(JSON.parse(readFileSync(path, 'utf8'))).not.toHaveProperty('findings');
  });
});
