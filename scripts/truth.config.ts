import { defineConfig } from 'vitest/config';

process.env['TZ'] = 'UTC';
process.env['LC_ALL'] = 'C';

/** `npm run truth`: recordings of a live Xen-on-Arm host under emulation against what its guests count. */
export default defineConfig({
  test: {
    include: ['**/*.truth.ts'],
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
