import { defineConfig } from 'vitest/config';

process.env['TZ'] = 'UTC';
process.env['LC_ALL'] = 'C';

/** HostOptions.xen of the host: see truth.sh. */
const xen = process.env['IOREQ_TRACE_TRUTH_XEN'] ?? 'unpatched';
/**
 * How recordings end, what is refused and what the device model's memory holds does not depend on Xen's version and
 * patches: one host is enough. IOREQ_TRACE_TRUTH_ALL=1: all on this one, too.
 */
const all = xen === 'unpatched' || process.env['IOREQ_TRACE_TRUTH_ALL'] === '1';
const files = all ? '*' : '{counts,devices,clock}';

/** `npm run truth`: recordings of live Xen-on-Arm hosts under emulation against what their guests count. */
export default defineConfig({
  test: {
    include: [`**/${files}.truth.ts`],
    exclude: ['node_modules', 'dist', 'out'],
    // One host for all of them, one thing on it at a time: each counts what the guests did meanwhile.
    globalSetup: ['fixtures/xen-on-arm/truth/setup.ts'],
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 600_000,
    reporters: ['verbose'],
  },
});
