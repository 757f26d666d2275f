import { acpiKinds, dmarKinds, iortKinds, ivrsKinds } from './acpi.js';
import { pciKinds } from './pci.js';
import { treeKinds } from './tree.js';
import type { Finding, FindingKind } from './types.js';

export type { Finding, FindingKind, Severity } from './types.js';

/** Every finding that this package can make; docs/findings.md is generated from it. */
export const findingKinds = { ...acpiKinds, ...dmarKinds, ...ivrsKinds, ...iortKinds, ...treeKinds, ...pciKinds };
export type FindingCode = keyof typeof findingKinds;

/** Where a finding was made. */
export interface Place {
  readonly table: string | null;
  readonly offset: number | null;
  readonly line?: number;
}

/** Takes the findings of one input, in the order of discovery. */
export class Findings {
  readonly list: Finding[] = [];

  add(code: FindingCode, message: string, place: Place): void {
    const { severity, consequence, remedy }: FindingKind = findingKinds[code];
    this.list.push({ severity, code, message, consequence, remedy, ...place });
  }

  /** A recorder for one table. */
  at(table: string): TableFindings {
    return (code, offset, message) => this.add(code, message, { table, offset });
  }
}

/** Records a finding at a byte offset of one table. */
export type TableFindings = (code: FindingCode, offset: number | null, message: string) => void;
