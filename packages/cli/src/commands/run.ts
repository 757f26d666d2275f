import { readMachine } from '@doorbell/firmware';
import { parseBdf } from '@doorbell/platform';
import { loadConfig } from '../config.js';
import { EXIT } from '../exit.js';
import { readInput } from '../inputs.js';
import { complain, print } from '../output.js';
import { Backends } from '../run/backends.js';
import { buildPlatform, type Failure } from '../run/build.js';
import { drive, type DriveOptions, type FunctionReport } from '../run/drive.js';
import { isModule, loadPlatform } from '../run/inputs.js';

export interface RunOptions {
  readonly device?: string;
  readonly vectors?: string;
  readonly window?: string;
  readonly json?: boolean;
  readonly all?: boolean;
  readonly tour?: boolean;
  readonly config?: string;
}

/** What `doorbell run --json` prints for one input. */
export interface RunReport {
  readonly input: string;
  readonly platform: string;
  readonly kinds: readonly string[];
  readonly functions: readonly FunctionReport[];
  readonly failures: readonly Failure[];
  readonly notes: readonly string[];
  /** The host bridges' maps: who translates and who takes MSIs. */
  readonly topology: readonly unknown[];
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
  if (options.tour) return (await import('../run/tour.js')).tour(inputs, backends);
  const render = options.json ? null : (await import('../report/run.js')).renderRun;
  let code: number = EXIT.ok;
  for (const [i, input] of inputs.entries()) {
    try {
      const report = await runOne(input, backends, how);
      if (report.failures.length > 0 && code === EXIT.ok) code = EXIT.failure;
      print(render === null ? JSON.stringify(report) : (i > 0 ? '\n' : '') + render(report, options.all === true));
    } catch (error) {
      code = EXIT.usage;
      const message = error instanceof Error ? error.message : String(error);
      complain(message.startsWith(input) ? message : `${input}: ${message}`);
      if (render === null) print(JSON.stringify({ input, error: message }));
    }
  }
  return code;
}

/** Builds the platform of one input and drives it. Errors: `InputError`, `FirmwareError`. */
export async function runOne(input: string, backends: Backends, how: DriveOptions = {}): Promise<RunReport> {
  if (isModule(input)) {
    const platform = await loadPlatform(input);
    const { functions, failures } = drive(platform, how);
    const hosts = platform.allNodes.filter((n) => n.iommuMap ?? n.msiMap);
    const kinds = [...new Set(platform.allNodes.map((n) => n.compatible))];
    return report(input, platform.name, kinds, functions, asked(how, functions, failures), [], hosts);
  }
  const machine = readMachine(readInput(input));
  const vectors = Math.max(how.vectors ?? 4, 1);
  const built = buildPlatform(machine, backends, { name: input, vectors: Math.min(vectors, 2048) });
  const { platform, description, standIns, notes, hosts } = built;
  try {
    const { functions, failures } = drive(platform, { ...how, standIns, hosts });
    const all = asked(how, functions, [...built.failures, ...failures]);
    return report(input, description.sources.join(' + '), description.kinds, functions, all, notes, hosts);
  } finally {
    platform.dispose();
  }
}

/** A run in which nothing could be tried is no success. */
function asked(how: DriveOptions, functions: readonly FunctionReport[], failures: readonly Failure[]): Failure[] {
  if (functions.length > 0 || failures.length > 0) return [...failures];
  const [code, message] = how.only
    ? ['NO_SUCH_FUNCTION', 'there is no such function, or it has neither MSI nor MSI-X']
    : ['NO_MSI_FUNCTION', 'no function has MSI or MSI-X'];
  return [{ bdf: null, code, message }];
}

const report = (
  input: string,
  platform: string,
  kinds: readonly string[],
  functions: readonly FunctionReport[],
  failures: readonly Failure[],
  notes: readonly string[],
  hosts: readonly { name: string; segment?: number; iommuMap?: unknown; msiMap?: unknown }[],
): RunReport => ({
  input,
  platform,
  kinds,
  functions,
  failures,
  notes,
  topology: hosts.map((h) => ({
    host: h.name,
    segment: h.segment ?? 0,
    iommuMap: h.iommuMap ?? [],
    msiMap: h.msiMap ?? [],
  })),
});

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
      throw new Error(`--window ${options.window}: give BASE+SIZE, as 0x8000000+0x100000`);
    how.window = { base: base!, size: size! };
  }
  if (options.device !== undefined) {
    const place = parseBdf(options.device);
    if (!place) throw new Error(`--device ${options.device}: give a function as 0000:00:04.0 or 00:04.0`);
    how.only = (d) => d.segment === place.segment && d.requester === place.requester;
  }
  return how;
}
