import { describeMachine, type MachineDescription } from '@doorbell/firmware';
import { EXIT } from '../exit.js';
import { problemWith, readInput } from '../inputs.js';
import { complain, print } from '../output.js';
import { startProgress } from '../progress.js';

/** `doorbell machine`: one answer per input, in order. An unreadable one does not keep the others from being answered. */
export async function machine(inputs: readonly string[], options: { json?: boolean; all?: boolean }): Promise<number> {
  const render = options.json ? null : (await import('../report/machine.js')).renderMachine;
  const progress = startProgress(inputs.length, 'machines');
  let code: number = EXIT.ok;
  for (const [i, input] of inputs.entries()) {
    try {
      const description: MachineDescription = describeMachine(readInput(input));
      if (code === EXIT.ok && description.findings.some((f) => f.severity === 'error')) code = EXIT.failure;
      if (render === null) print(JSON.stringify({ input, ...description }));
      else print((i > 0 ? '\n' : '') + render(input, description, options.all === true));
    } catch (error) {
      code = EXIT.usage;
      const message = problemWith(input, error);
      complain(message);
      if (render === null) print(JSON.stringify({ input, error: message }));
    }
    if (progress.step()) await new Promise(setImmediate);
  }
  progress.stop();
  return code;
}
