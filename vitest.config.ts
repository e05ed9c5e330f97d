import { defineConfig } from 'vitest/config';

// TZ and LC_ALL are fixed so that golden texts are the same on every machine.
process.env['TZ'] = 'UTC';
process.env['LC_ALL'] = 'C';

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['node_modules', 'dist', 'out'],
    setupFiles: ['scripts/vitest-setup.ts'],
    testTimeout: 60_000,
    maxWorkers: 2,
  },
});
