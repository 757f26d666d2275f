import type { MemoryBank, PlatformNode, TableExtent } from '@doorbell/platform';
import type { RequesterTable } from '../requesters.js';

export const FORMAT = 'doorbell-snapshot';
export const VERSION = 1;

/** What a snapshot file holds, as JSON (gzipped unless the file's name ends in `.json`). Equal captures give equal files. */
export interface SnapshotFile {
  readonly format: typeof FORMAT;
  readonly version: typeof VERSION;
  /** The capture's directory name. */
  readonly source: string;
  readonly nodes: readonly PlatformNode[];
  readonly banks: readonly MemoryBank[];
  readonly requesters: RequesterTable;
  /** Blocks of registers, without what other tools captured beside them. */
  readonly registers: unknown;
  /** All memory that answers depend on. What is in no extent is unknown, what is in one and in no page is zero. */
  readonly extents: readonly TableExtent[];
  /** Address → bytes as hex, without the zeros at the end. */
  readonly pages: Readonly<Record<string, string>>;
  readonly leftOut: readonly string[];
  readonly problems: readonly string[];
}
