import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attachHost, bootHost } from '../fixtures/xen-on-arm/host.ts';
import type { Guest, XenHost } from '../fixtures/xen-on-arm/types.ts';
import { HOOK_SETS } from './overhead/hook-sets.ts';
import type { Quad, Sample } from './overhead/sample.ts';
import { Bed } from './overhead/sample.ts';
import { overheadTable } from './overhead/table.ts';

/**
 * What recording costs the guest: direct 4 KiB reads, one at a time (the access pattern with the most ioreqs a byte:
 * three a read), by the guest's own clock, with and without recording. Each hook set is measured between two
 * runs without recording (none, set, set, none), so that drifts of the machine cancel; the ratio is that of the
 * two pairs, its spread is over the rounds.
 *
 * The board is emulated on this machine's cores, which the recorder (Node and ssh on this side) shares: the guest's
 * ratio holds what that takes away from the emulation, which a real board would not feel. Therefore the last
 * columns say apart what is spent on the board: CPU time of Dom0 an I/O beside that without recording, and of the
 * recorder's own processes there.
 *
 *   node record-overhead.js [ROUNDS] [READS] [NAME...]
 *
 * IOREQ_TRACE_TRUTH_XEN=patched: on the host whose Xen has the trace points.
 */
const [ROUNDS = 2, READS = 300] = process.argv.slice(2, 4).map(Number);
const NAMES = process.argv.slice(4);
const XEN = process.env['IOREQ_TRACE_TRUTH_XEN'] ?? 'unpatched';
/** Most that the default set may cost the guest. */
const GOAL = 0.05;

async function main(): Promise<number> {
  const work = mkdtempSync(join(tmpdir(), 'overhead-'));
  const given = process.env['IOREQ_TRACE_TRUTH_STATE'];
  const log = (line: string): void => {
    console.error(line);
  };
  let host: XenHost | undefined;
  let guest: Guest | undefined;
  try {
    host =
      given === undefined
        ? await bootHost({ stateDir: join(work, 'host'), xen: XEN, limitSeconds: 7200, log })
        : attachHost(given);
    const name = `o${process.pid % 10_000}`;
    guest = await host.startGuest({ name, vcpus: 1, devices: [{ kind: 'blk', sizeMiB: 32 }] });
    const bed = new Bed(host, guest, work, READS);
    await bed.sample(undefined); // warm: caches of Dom0 and the emulator's translated code
    const quads: Quad[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      for (const set of HOOK_SETS) {
        if (NAMES.length > 0 && !NAMES.includes(set.name)) continue;
        if (set.pointsOnly === true && XEN === 'unpatched') continue;
        const first = await bed.sample(undefined);
        const recorded: [Sample, Sample] = [await bed.sample(set), await bed.sample(set)];
        const quad = { set, without: [first, await bed.sample(undefined)], recorded } satisfies Quad;
        quads.push(quad);
        const ratio = rate(quad.recorded) / rate(quad.without);
        log(
          `round ${round + 1}, ${set.name}: ${(100 * ratio).toFixed(1)} % of ${rate(quad.without).toFixed(0)} I/O/s`,
        );
      }
    }
    const { text, cost } = overheadTable(quads, READS);
    console.log(`Xen ${XEN}, ${ROUNDS} rounds of ${READS} reads\n\n${text}`);
    if (Number.isNaN(cost)) return 0;
    console.log(
      `default set: costs the guest ${(100 * cost).toFixed(1)} % (goal ${(100 * GOAL).toFixed(0)} %)`,
    );
    return cost <= GOAL ? 0 : 1;
  } finally {
    await guest?.destroy().catch(() => undefined);
    if (given === undefined) await host?.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

function rate([a, b]: readonly [Sample, Sample]): number {
  return (a.readsPerSecond + b.readsPerSecond) / 2;
}

process.exitCode = await main();
