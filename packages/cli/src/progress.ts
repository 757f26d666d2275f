import { createRequire } from 'node:module';
import type { SingleBar } from 'cli-progress';

/** A bar on stderr for people, once the work has taken a second; nothing when piped. */
export function startProgress(total: number, what: string): { step(): boolean; stop(): void } {
  const begun = Date.now();
  let done = 0;
  let bar: SingleBar | null = null;
  const shown = process.stderr.isTTY === true && process.stdout.isTTY !== true;
  return {
    /** True while a bar is shown, so that the caller lets it draw. */
    step() {
      done++;
      if (!shown) return false;
      if (bar === null && Date.now() - begun > 1000 && done < total) {
        const { SingleBar } = createRequire(import.meta.url)('cli-progress') as typeof import('cli-progress');
        bar = new SingleBar({
          format: ` {bar} {value}/{total} ${what}, {eta_formatted} left`,
          stream: process.stderr,
          clearOnComplete: true,
        });
        bar.start(total, done);
      }
      bar?.update(done);
      return bar !== null;
    },
    stop() {
      bar?.stop();
    },
  };
}
