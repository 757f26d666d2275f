import { closeSync, openSync, writeSync } from 'node:fs';
import { CompositionError, DoorbellError, type Platform } from '@doorbell/platform';
import { EventLog, PlatformTarget, serveQtest, type PlatformTargetOptions } from '@doorbell/qemu';
import { loadConfig, type BoardEntry } from '../config.js';
import { EXIT } from '../exit.js';
import { complain } from '../output.js';
import { isModule, loadPlatform } from '../run/inputs.js';

export interface ServeOptions {
  readonly qtest: string;
  readonly device?: readonly string[];
  readonly events?: string;
  readonly config?: string;
}

/** What a board's `serve` gives back; how qtest reaches the platform. */
interface Served extends Omit<PlatformTargetOptions, 'events' | 'failed'> {
  readonly platform: Platform;
  readonly acknowledging?: number;
}
/** A board of the configuration that can be served: its entry has `serve`. */
interface Servable extends BoardEntry {
  readonly serve: (devices: readonly string[], observe?: EventLog['dma']) => Served;
}
const isServable = (entry: BoardEntry): entry is Servable => typeof entry['serve'] === 'function';

/** `doorbell serve`: ends when the client hangs up. Returns the exit code. */
export async function serve(board: string, options: ServeOptions): Promise<number> {
  const observed: { log?: EventLog } = {};
  let served: Served;
  let path: string;
  let events: number | undefined;
  try {
    path = socketPath(options.qtest);
    served = await make(board, options, (dma) => observed.log?.dma(dma) ?? (() => undefined));
    if (options.events !== undefined) events = openSync(options.events, 'a');
  } catch (error) {
    complain(oneLine(error));
    return EXIT.usage;
  }
  const { platform, acknowledging, ...rest } = served;
  const write = (text: string) => void (events === undefined || writeAll(events, text));
  // Without a file nobody reads the lines, but CPUs that acknowledge do so all the same.
  const log = (observed.log = new EventLog(platform, { write, ...(acknowledging !== undefined && { acknowledging }) }));
  const target = new PlatformTarget(platform, {
    ...rest,
    events: log,
    failed: (line, error) => complain(`'${line.slice(0, 100)}': ${oneLine(error)}`),
  });
  const server = serveQtest(path, target);
  try {
    await server.closed;
    return EXIT.ok;
  } catch (error) {
    complain(`${options.qtest}: ${oneLine(error)}`);
    return EXIT.usage;
  } finally {
    log.flush();
    if (events !== undefined) closeSync(events);
    platform.dispose();
  }
}

async function make(board: string, options: ServeOptions, observe: EventLog['dma']): Promise<Served> {
  const devices = options.device ?? [];
  if (isModule(board)) {
    if (devices.length > 0) throw new Error(`${board} is a platform module: it says itself which devices it has`);
    return { platform: await loadPlatform(board) };
  }
  const config = await loadConfig(options.config);
  const boards = config.boards.filter(isServable);
  const entry = boards.find((b) => b.name === board);
  if (entry) return entry.serve(devices, observe);
  const known = boards.map((b) => b.name).join(', ') || 'none configured';
  throw new Error(`there is no board ${board} (${known}), and no platform module of that name`);
}

/** `unix:PATH`, as after QEMU's -qtest. */
function socketPath(text: string): string {
  const m = /^unix:([^,]+)(,server=off)?$/.exec(text);
  if (!m) throw new Error(`--qtest ${text}: write unix:PATH, the socket on which the client listens`);
  return m[1]!;
}

function writeAll(file: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
}

function oneLine(error: unknown): string {
  if (error instanceof CompositionError) return error.problems.map((p) => `${p.code}: ${p.message}`).join('; ');
  if (error instanceof DoorbellError) return `${error.code}: ${error.message}`.replaceAll('\n', ' ');
  return (error instanceof Error ? error.message : String(error)).replaceAll('\n', ' ');
}
