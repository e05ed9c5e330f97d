import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { truthReport } from '../../analyzer/truth/truth.ts';
import type { TruthReport } from '../../analyzer/truth/document.ts';
import { withClock, withoutTracePoints } from '../../analyzer/truth/unpatched-view.ts';
import { clockEstimates } from '../../collector/clock-estimates.ts';
import { importCapture } from '../../collector/import.ts';
import type { HostFacts } from '../../trace/manifest.ts';
import { openTrace } from '../../trace/open.ts';

/** The committed capture of a patched host with QEMU's trace markers. */
export const CAPTURE = { file: 'P1', title: "capture P1: 1 vCPU, disk, with QEMU's own trace" } as const;

/** One workload's trace, compared. */
export interface Run {
  /** As the page names it. */
  name: string;
  created: string;
  host: HostFacts;
  report: TruthReport;
}

/** Throws as openTrace does, and E_NO_DATA for a trace without trace points. */
export function runOf(name: string, dir: string): Run {
  const trace = openTrace(dir);
  const bare = withoutTracePoints(trace);
  const clocks = clockEstimates(trace, bare);
  const report = truthReport(trace, withClock(bare, clocks[0]?.relation), { path: name, clocks });
  return { name, created: trace.manifest.created, host: trace.manifest.host, report };
}

/** `root`: the checkout. */
export async function captureRun(root: string): Promise<Run> {
  const work = mkdtempSync(join(tmpdir(), 'accuracy-'));
  try {
    execFileSync('tar', ['xf', join(root, 'fixtures', 'captures', `${CAPTURE.file}.tar.gz`), '-C', work]);
    const dir = join(work, 'trace');
    await importCapture([join(work, CAPTURE.file)], dir, { tool: { name: 'accuracy', version: '0' } });
    return runOf(CAPTURE.title, dir);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
