import { hex, type Step } from '@doorbell/platform';

/** A step as `--json` prints it. */
export interface ShownStep {
  readonly by: string;
  readonly what: string;
  readonly at: string | null;
  /** 32-bit words as read. */
  readonly words: readonly string[];
  readonly decoded: string;
  readonly why: string;
}
export interface Fault {
  readonly code: string | null;
  readonly name: string;
}

/** What every answer has: the walk, and which of its steps decided. */
interface Walk {
  readonly steps: readonly ShownStep[];
  /** Index of the step whose word decided; null where no word in memory did. */
  readonly deciding: number | null;
  /** One sentence. */
  readonly reason: string;
  /** What would have to change; null where nothing is wrong or nobody knows. */
  readonly remedy: string | null;
  /** Addresses that the walk needed and that are no RAM of the input. */
  readonly missing?: readonly string[];
  /** A live platform's caches gave this answer; the tables in memory say something else: this. */
  readonly stale?: string;
}

/** The verdicts of CONTRACTS.md. */
export type Verdicts =
  | { readonly verdict: 'translated'; readonly pa: string; readonly pageSize: number; readonly permissions: string }
  | { readonly verdict: 'bypass'; readonly pa: string }
  | { readonly verdict: 'fault'; readonly fault: Fault; readonly recorded: boolean }
  | { readonly verdict: 'interrupt' }
  | { readonly verdict: 'delivered'; readonly interrupt: Readonly<Record<string, unknown>> }
  | { readonly verdict: 'blocked'; readonly fault: Fault; readonly recorded: boolean; readonly pa?: string };

export type Answer = Verdicts & Walk;

/** Who tells where a message arrived. */
export const BUS = 'system bus';

export const showStep = ({ by, what, at, words, decoded, why }: Step): ShownStep => ({
  by,
  what,
  at: at === null ? null : hex(at),
  words: words.map((w) => '0x' + (w >>> 0).toString(16).padStart(8, '0')),
  decoded,
  why,
});

/** The last step that read something; for what a register or the question itself decided, none. Where a message arrived decides nothing. */
export function decidingStep(steps: readonly Step[]): number | null {
  for (let i = steps.length - 1; i >= 0; i--) if (steps[i]!.at !== null && steps[i]!.by !== BUS) return i;
  return null;
}
