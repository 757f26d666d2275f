import type { IdMapEntry } from './fabric.js';

/** One block of the platform: what firmware would describe. */
export interface PlatformNode {
  /** Unique: `dmar0`. */
  readonly name: string;
  /** Which plugin models it: `intel,vtd`. */
  readonly compatible: string;
  /** Register ranges on the system bus. */
  readonly reg?: readonly { readonly base: number; readonly size: number }[];
  /** Byte order of its registers as the CPU sees them. */
  readonly endian?: 'little' | 'big';
  /** PCI segment of a host bridge. Default 0. */
  readonly segment?: number;
  /** Host bridges: where requester ids go; later entries win. */
  readonly iommuMap?: readonly IdMapEntry[];
  readonly msiMap?: readonly IdMapEntry[];
  /** Whatever the plugin's options are. */
  readonly options?: Readonly<Record<string, unknown>>;
}
