import { writeFileSync } from 'node:fs';
import { encodeSnapshot, takeSnapshot } from '@doorbell/inspect';
import { loadConfig } from '../config.js';
import { EXIT } from '../exit.js';
import { contributionsOf } from '../explain/target.js';
import { complain, print } from '../output.js';

/** `doorbell snapshot CAPTURE -o FILE`. Returns the exit code. */
export async function snapshot(
  capture: string,
  options: { output: string; config?: string; json?: boolean },
): Promise<number> {
  try {
    const file = await takeSnapshot(capture, contributionsOf(await loadConfig(options.config)));
    const bytes = encodeSnapshot(file, options.output.endsWith('.json'));
    writeFileSync(options.output, bytes);
    const { extents, leftOut, problems } = file;
    if (options.json)
      print(
        JSON.stringify({
          input: capture,
          output: options.output,
          bytes: bytes.length,
          tables: extents.length,
          leftOut,
          problems,
        }),
      );
    else {
      print(`${options.output}: ${bytes.length} bytes, ${extents.length} tables of ${file.source}`);
      for (const what of leftOut) print(`left out: ${what}`);
    }
    for (const problem of problems) complain(`${capture}: ${problem}`);
    return EXIT.ok;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    complain(message.includes(capture) ? message : `${capture}: ${message}`);
    if (options.json) print(JSON.stringify({ input: capture, error: message }));
    return EXIT.usage;
  }
}
