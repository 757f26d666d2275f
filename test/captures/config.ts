import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import type { CaptureContribution } from '@doorbell/platform';

interface Entry {
  readonly capture?: CaptureContribution;
}

/** What the repository's own doorbell.config.js contributes to captures. */
export async function contributions(): Promise<CaptureContribution[]> {
  const file = pathToFileURL(join(import.meta.dirname, '../../doorbell.config.js')).href;
  const { default: config } = (await import(file)) as { default: { plugins: readonly Entry[] } };
  return config.plugins.flatMap((p) => (p.capture ? [p.capture] : []));
}
