/** Of refusals that no back-end makes. */
const REMEDIES: Readonly<Record<string, string>> = {
  NOT_A_DOORBELL: 'program the function with the address that leads to its doorbell',
};

/**
 * What would have to change, by the name of a fault; null where nobody knows. `stray`: a message that no controller got to see, because a
 * table is in its way.
 */
export function remedyFor(fault: string, stray: boolean, told: Readonly<Record<string, string>> = {}): string | null {
  const remedy = told[fault];
  if (remedy === undefined) return REMEDIES[fault] ?? null;
  return stray
    ? `nothing, if the message is forged; else program the function with the address of a doorbell that it may write, or ${remedy}`
    : remedy;
}
