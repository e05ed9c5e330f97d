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
 * Time in the emulated machine is its count of instructions (MachineOptions.countedTime), so that nothing that runs
 * beside it on this machine changes a figure; runs repeat to a few tenths of a percent. Its CPUs take turns: the guest
 * pays for everything that Dom0 does, as on a board with one core. What the recorder's own processes take of it (a
 * shell, xentrace, sshd) a board with a core to spare does elsewhere; that share is said apart. The other thing that
 * an instruction count does not know is that an exception costs a real CPU more than an instruction.
 * IOREQ_TRACE_OVERHEAD_WALL=1: by the wall clock, both CPUs at once, on a machine that must be quiet.
 *
 *   node record-overhead.js [ROUNDS] [READS] [NAME...]
 *
 * IOREQ_TRACE_TRUTH_XEN=patched: on the host whose Xen has the trace points.
 */
const [ROUNDS = 2, READS = 300] = process.argv.slice(2, 4).map(Number);
const NAMES = process.argv.slice(4);
const XEN = process.env['IOREQ_TRACE_TRUTH_XEN'] ?? 'unpatched';
/** Most that the default set may put in a read's way. */
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
        ? await bootHost({
            stateDir: join(work, 'host'),
            xen: XEN,
            limitSeconds: 7200,
            countedTime: process.env['IOREQ_TRACE_OVERHEAD_WALL'] === undefined,
            log,
          })
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
    if (Number.isNaN(cost.oneCore)) return 0;
    const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
    console.log(
      `default set: a read takes ${percent(cost.oneCore)} longer with everything on one core; ` +
        `${percent(cost.inTheWay)} stand in its way without the recorder's processes (goal ${percent(GOAL)})`,
    );
    return cost.inTheWay <= GOAL ? 0 : 1;
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
