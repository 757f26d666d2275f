import { hex, type Step } from '@doorbell/platform';
import { BUS, type Verdicts } from './answer.js';

/** One sentence: the verdict and the word that made it. */
export function reasonOf(result: Verdicts, steps: readonly Step[], deciding: number | null): string {
  const step = steps[deciding ?? -1];
  // A structure may be looked at again (checks of the sender): its last word counts.
  const again = step && steps.slice(deciding!).findLast((s) => s.what === step.what && s.why !== '');
  const said = step ? `${step.what} at ${hex(step.at!)}: ${again?.why ?? step.why}` : lastWord(steps);
  switch (result.verdict) {
    case 'translated':
      return `it goes to ${result.pa} by ${said}`;
    case 'bypass':
      return `it passes unchanged to ${result.pa}: ${lastWord(steps)}`;
    case 'interrupt':
      return 'a DWORD write into 0xFEEx_xxxx is an interrupt request, not a DMA';
    case 'delivered':
      return `it reaches ${String(result.interrupt['controller'])} by ${said}`;
    default:
      return result.fault.name === 'NOT_A_DOORBELL'
        ? `it arrives at ${'pa' in result ? result.pa : 'memory'}, which is no doorbell`
        : `${result.fault.name}: ${said}`;
  }
}

/** Without a word in memory that decided: what the last step before the record of the outcome says. */
const lastWord = (steps: readonly Step[]): string =>
  steps.findLast((s) => s.why !== '' && s.what !== 'fault' && s.by !== BUS && !s.why.startsWith(EVENT))?.why ??
  'nothing says why';

const EVENT = 'the event that';
/**
 * A recorded fault may make the unit send its own event: those steps must not look like the message asked about, and the unit's
 * last word stays the last. Where a message got past the unit, nothing is changed.
 */
export function withoutConfusion(steps: readonly Step[], unit: string | undefined): readonly Step[] {
  const first = steps.findIndex((s) => s.by === unit);
  const last = steps.findLastIndex((s) => s.by === unit);
  if (first < 0 || steps.some((s) => s.by === BUS)) return steps;
  const own = steps.filter((s, i) => i < first || s.by === unit);
  const events = steps.filter((s, i) => i >= first && s.by !== unit);
  const told = events.map((s) => ({ ...s, why: `${EVENT} ${unit} sends about the fault: ${s.why}` }));
  return [...own.slice(0, -1), ...told, steps[last]!];
}
