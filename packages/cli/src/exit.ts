/** Exit codes of every command. */
export const EXIT = {
  /** As asked. */
  ok: 0,
  /** The answer is a failure: a fault, a blocked message, an error finding. */
  failure: 1,
  /** Bad usage or unreadable input. */
  usage: 2,
} as const;
