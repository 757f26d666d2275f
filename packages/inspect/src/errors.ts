import { DoorbellError } from '@doorbell/platform';

/** Codes of what `inspect` itself refuses; platforms and models keep theirs. */
export type InspectCode =
  /** The input is no capture, or a part of it cannot be read. */
  | 'UNREADABLE_INPUT'
  /** A question that is no question. */
  | 'BAD_QUESTION'
  /** The capture has a unit that no configured plugin models. */
  | 'NO_BACKEND'
  /** The unit was in a mode that its model does not know. */
  | 'NOT_MODELLED'
  /** The answer depends on memory or registers that the capture lacks. */
  | 'NOT_IN_CAPTURE'
  /** A snapshot of another version. */
  | 'WRONG_VERSION';

export const refuse = (
  code: InspectCode,
  message: string,
  remedy: string,
  details: Record<string, unknown> = {},
): DoorbellError => new DoorbellError(code, message, remedy, details);
