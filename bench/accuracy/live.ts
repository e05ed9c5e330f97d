import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attachHost, bootHost } from '../../fixtures/xen-on-arm/host.ts';
import type { XenHost } from '../../fixtures/xen-on-arm/types.ts';
import { recordWorkload } from './record.ts';
import type { Run } from './run.ts';
import { runOf } from './run.ts';
import type { AccuracyWorkload } from './workloads.ts';

/** An emulated machine on a busy one misses deadlines at times: each workload may fail once. */
const ATTEMPTS = 2;

/**
 * Records the workloads, one after the other, on a host with the patched Xen that is booted for them, or on the running
 * one of state folder `given`. A workload that cannot be recorded is told of and missing in what comes back.
 */
export async function recordLive(
  workloads: readonly AccuracyWorkload[],
  given: string | undefined,
  keep: string | undefined,
): Promise<Run[]> {
  const work = mkdtempSync(join(tmpdir(), 'accuracy-'));
  const traces = keep ?? join(work, 'traces');
  mkdirSync(traces, { recursive: true });
  const log = (line: string): void => {
    console.error(line);
  };
  let host: XenHost | undefined;
  try {
    host =
      given === undefined
        ? await bootHost({ stateDir: join(work, 'host'), xen: 'patched', limitSeconds: 7200, log })
        : attachHost(given);
    const runs: Run[] = [];
    for (const workload of workloads) {
      for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
        log(`${workload.name}: ${workload.title}`);
        const dir = join(traces, `${workload.name}.trace`);
        rmSync(dir, { recursive: true, force: true });
        try {
          await recordWorkload(host, workload, dir, work);
          runs.push(runOf(workload.title, dir));
          break;
        } catch (error) {
          log(`${workload.name}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
    }
    return runs;
  } finally {
    if (given === undefined) await host?.stop();
    rmSync(work, { recursive: true, force: true });
  }
}
