import { hex, type Step } from '@doorbell/platform';
import { BUS, type Verdicts } from './answer.js';
import { arrivalOf } from './arrival.js';

/** One sentence: the verdict and the word that made it. */
export function reasonOf(result: Verdicts, steps: readonly Step[], deciding: number | null, unit?: string): string {
  const place = deciding === null ? null : `${steps[deciding]!.what} at ${hex(steps[deciding]!.at!)}`;
  const said = deciding === null ? lastWord(steps, unit) : wordOf(steps, deciding, result.verdict === 'translated');
  const by = place === null ? `: ${said}` : ` by ${place} (${said})`;
  switch (result.verdict) {
    case 'translated':
      return `it goes to ${result.pa}${by}`;
    case 'bypass':
      return `it passes unchanged to ${result.pa}: ${place === null ? '' : `${place}: `}${said}`;
    case 'interrupt':
      return 'a DWORD write into 0xFEEx_xxxx is an interrupt request, not a DMA';
    case 'delivered':
      return `it is delivered as ${arrivalOf(result.interrupt)}${by}`;
    default:
      return result.fault.name === 'NOT_A_DOORBELL'
        ? `it arrives at ${'pa' in result ? result.pa : 'memory'}, which is no doorbell`
        : [result.fault.name, place, withoutName(said, result.fault.name)].filter((s) => s !== null).join(': ');
  }
}

/** A step may name the fault that it leads to. */
const withoutName = (said: string, name: string): string =>
  said.startsWith(`${name}: `)
    ? said.slice(name.length + 2)
    : said.endsWith(`: ${name}`)
      ? said.slice(0, -name.length - 2)
      : said;

/** What the word in memory that decided says; unless all went well, what its unit then made of a word that is fine in itself (checks of sender, address). */
function wordOf(steps: readonly Step[], deciding: number, well: boolean): string {
  const { by, why } = steps[deciding]!;
  const judged = well ? undefined : steps.slice(deciding + 1).findLast((s) => s.by === by && isWord(s));
  return judged?.why ?? why;
}

/** Where no word in memory decided: the unit's last step before the record of the outcome; without a unit anybody's. */
const lastWord = (steps: readonly Step[], unit: string | undefined): string =>
  (steps.findLast((s) => s.by === unit && isWord(s)) ?? steps.findLast(isWord))?.why ?? 'nothing says why';

/** Neither the record of an outcome nor where a message arrived. */
const isWord = (s: Step): boolean =>
  s.why !== '' && !/^(?:fault|[CF]_[A-Z_]+)$/.test(s.what) && s.by !== BUS && !s.why.startsWith(EVENT);

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
