import { parseBdf } from '@doorbell/platform';
import { loadConfig } from '../config.js';
import { EXIT } from '../exit.js';
import { problemWith } from '../inputs.js';
import { complain, print } from '../output.js';
import { Backends } from '../run/backends.js';
import type { DriveOptions } from '../run/drive.js';
import { runOne } from '../run/one.js';

export interface RunOptions {
  readonly device?: string;
  readonly vectors?: string;
  readonly window?: string;
  readonly json?: boolean;
  readonly all?: boolean;
  readonly tour?: boolean;
  readonly config?: string;
}

/** `doorbell run`. Returns the exit code. */
export async function run(inputs: readonly string[], options: RunOptions): Promise<number> {
  let how: DriveOptions;
  let backends: Backends;
  try {
    how = parse(options);
    backends = new Backends(await loadConfig(options.config));
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
    return EXIT.usage;
  }
  const idle = (['json', 'all', 'device', 'vectors', 'window'] as const).filter((o) => options[o] !== undefined);
  if (options.tour && idle.length > 0) {
    complain(`--tour shows all of each machine: it takes no ${idle.map((o) => `--${o}`).join(', ')}`);
    return EXIT.usage;
  }
  if (options.tour) return (await import('./tour.js')).tour(inputs, backends);
  const render = options.json ? null : (await import('../report/run.js')).renderRun;
  let code: number = EXIT.ok;
  for (const [i, input] of inputs.entries()) {
    try {
      const report = await runOne(input, backends, how);
      if (report.failures.length > 0 && code === EXIT.ok) code = EXIT.failure;
      print(render === null ? JSON.stringify(report) : (i > 0 ? '\n' : '') + render(report, options.all === true));
    } catch (error) {
      code = EXIT.usage;
      const message = problemWith(input, error);
      complain(message);
      if (render === null) print(JSON.stringify({ input, error: message }));
    }
  }
  return code;
}

/** Errors: an Error with the sentence for the user. */
function parse(options: RunOptions): DriveOptions {
  const how: { -readonly [K in keyof DriveOptions]: DriveOptions[K] } = {};
  if (options.vectors !== undefined) {
    how.vectors = Number(options.vectors);
    if (!Number.isInteger(how.vectors) || how.vectors < 1 || how.vectors > 2048)
      throw new Error(`--vectors ${options.vectors}: give a number from 1 to 2048`);
  }
  if (options.window !== undefined) {
    const [base, size, more] = options.window.split('+').map(Number);
    if (more !== undefined || !Number.isSafeInteger(base) || !Number.isSafeInteger(size) || base! < 0 || !(size! > 0))
      throw new Error(`--window ${options.window}: give BASE+SIZE below 2^53, as 0x8000000+0x100000`);
    how.window = { base: base!, size: size! };
  }
  if (options.device !== undefined) {
    const place = parseBdf(options.device);
    if (!place) throw new Error(`--device ${options.device}: give a function as 0000:00:04.0 or 00:04.0`);
    how.only = (d) => d.segment === place.segment && d.requester === place.requester;
  }
  return how;
}
