export type Severity = 'error' | 'warning' | 'info';

/** What is known about a kind of finding before it happens: how bad, one sentence of consequence, one of remedy. */
export interface FindingKind {
  readonly severity: Severity;
  /** What follows from it for whoever runs this machine. */
  readonly consequence: string;
  /** What the machine's owner can do. */
  readonly remedy: string;
}

/** One thing that the firmware says wrongly, oddly, or not at all. `offset` counts bytes from the start of the table's file. */
export interface Finding {
  readonly severity: Severity;
  readonly code: string;
  /** The fact, with its values. */
  readonly message: string;
  readonly consequence: string;
  readonly remedy: string;
  /** `DMAR`, `IVRS`, …; the file's name for device trees and dumps; null where it is about the whole input. */
  readonly table: string | null;
  readonly offset: number | null;
  /** Line of a text file, counted from 1. */
  readonly line?: number;
}

/** Declares a group of kinds; the keys are the codes. */
export const kinds = <K extends string>(
  rows: Record<K, readonly [Severity, string, string]>,
): Record<K, FindingKind> => {
  const out = {} as Record<K, FindingKind>;
  for (const code of Object.keys(rows) as K[]) {
    const [severity, consequence, remedy] = rows[code];
    out[code] = { severity, consequence, remedy };
  }
  return out;
};
