import { defaultServerConditions } from 'vite';
import { defineConfig } from 'vitest/config';

// Tests see every package's sources, so an edit needs no build.
const conditions = ['@doorbell/source', ...defaultServerConditions];
const LIMIT = process.env['DOORBELL_LONG'] === '1' ? 600_000 : 120_000;

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    // All processors: by default one is left idle, which on two is half of them.
    maxWorkers: '100%',
    // Nothing is judged by its time: a limit only stops what hangs, also on a loaded machine.
    testTimeout: LIMIT,
    hookTimeout: LIMIT,
    // A runner that colours its own log (FORCE_COLOR) must not colour what tests read of the commands that they start.
    env: { FORCE_COLOR: '0' },
    projects: [
      { extends: true, test: { name: 'unit', include: ['packages/*/test/**/*.test.ts'] } },
      { extends: true, test: { name: 'integration', include: ['test/**/*.test.ts'] } },
    ],
    coverage: { provider: 'v8', include: ['packages/*/src/**/*.ts'] },
  },
});
