import { hex, type Bytes } from '../bytes.js';
import type { Findings, TableFindings } from '../findings/index.js';
import { openTable, type AcpiHeader } from './header.js';

/** One id mapping. `count` is the number of ids: IORT stores it minus one, and a single mapping has 1. */
export interface IortMapping {
  readonly offset: number;
  readonly inputBase: number;
  readonly count: number;
  readonly outputBase: number;
  /** Offset of the target node from the start of the table. */
  readonly target: number;
  readonly single: boolean;
}
interface NodeCommon {
  readonly offset: number;
  readonly revision: number;
  readonly identifier: number;
  readonly mappings: readonly IortMapping[];
}
export interface ItsGroupNode extends NodeCommon {
  readonly kind: 'its-group';
  readonly its: readonly number[];
}
export interface NamedComponentNode extends NodeCommon {
  readonly kind: 'named-component';
  readonly name: string;
  readonly flags: number;
  readonly memory: bigint;
  readonly addressLimit: number;
}
export interface RootComplexNode extends NodeCommon {
  readonly kind: 'root-complex';
  readonly segment: number;
  /** 0 ATS, 1 PRI, 2 PASID. */
  readonly ats: number;
  readonly memory: bigint;
  readonly addressLimit: number | null;
}
/** SMMU v1 and v2 (MMU-400, -401, -500 among them). */
export interface SmmuV2Node extends NodeCommon {
  readonly kind: 'smmuv2';
  readonly base: bigint;
  readonly span: bigint;
  readonly model: number;
  readonly flags: number;
}
export interface SmmuV3Node extends NodeCommon {
  readonly kind: 'smmuv3';
  readonly base: bigint;
  readonly flags: number;
  readonly model: number;
  readonly gsivs: { readonly event: number; readonly pri: number; readonly gerr: number; readonly sync: number };
  /** Index of the mapping that gives its own MSIs a device id; null where the flag for it is clear. */
  readonly msiMapping: number | null;
}
export interface PmcgNode extends NodeCommon {
  readonly kind: 'pmcg';
  readonly base: bigint;
  readonly gsiv: number;
  readonly target: number;
}
export interface RmrNode extends NodeCommon {
  readonly kind: 'rmr';
  readonly flags: number;
  readonly ranges: readonly { readonly offset: number; readonly base: bigint; readonly length: bigint }[];
}
export interface OtherNode extends NodeCommon {
  readonly kind: 'iwb' | 'unknown';
  readonly type: number;
  readonly name: string;
}
export type IortNode =
  | ItsGroupNode
  | NamedComponentNode
  | RootComplexNode
  | SmmuV2Node
  | SmmuV3Node
  | PmcgNode
  | RmrNode
  | OtherNode;

export interface IortTable {
  readonly header: AcpiHeader;
  readonly nodes: readonly IortNode[];
  readonly found: TableFindings;
}

/** Bytes that a node's own fields need, header of 16 included. */
const FIXED: readonly number[] = [20, 29, 32, 60, 60, 40, 28, 26];
const NAMES = ['ITS group', 'named component', 'root complex', 'SMMUv1/v2', 'SMMUv3', 'PMCG', 'RMR', 'IWB'];

/** Reads an IORT table (Arm DEN 0049). Errors: `FirmwareError` if it is none; all else is a finding. */
export function readIort(file: string, data: Uint8Array, findings: Findings): IortTable {
  const { header, bytes, found } = openTable(file, data, 'IORT', findings);
  const nodes: IortNode[] = [];
  if (!bytes.has(36, 8)) {
    found('IORT_BAD_LENGTH', bytes.length, `the table ends after ${bytes.length} bytes, its fixed part alone is 48`);
    return { header, nodes, found };
  }
  const count = bytes.u32(36);
  let at = bytes.u32(40);
  if (at < 44 || at > bytes.length) {
    found('IORT_BAD_LENGTH', 40, `nodes start at ${at}, the table has ${bytes.length} bytes`);
    return { header, nodes, found };
  }
  while (nodes.length < count && at < bytes.length) {
    const length = bytes.has(at, 16) ? bytes.u16(at + 1) : 0;
    if (length < 16 || !bytes.has(at, length)) {
      const type = bytes.u8(at);
      found(
        'IORT_BAD_LENGTH',
        at + 1,
        `${NAMES[type] ?? `node of type ${type}`} at ${at} says ${length} bytes; ${bytes.length - at} are left`,
      );
      break;
    }
    nodes.push(readNode(bytes, at, length, found));
    at += length;
  }
  if (nodes.length < count) found('IORT_NODE_COUNT', 36, `${count} nodes announced, ${nodes.length} found`);
  else if (at < bytes.length)
    found('IORT_NODE_COUNT', 36, `${count} nodes announced, ${bytes.length - at} bytes stand behind the last`);
  return { header, nodes, found };
}

function readNode(b: Bytes, at: number, length: number, found: TableFindings): IortNode {
  const type = b.u8(at);
  const common = {
    offset: at,
    revision: b.u8(at + 3),
    identifier: b.u32(at + 4),
    mappings: readMappings(b, at, length, found),
  };
  const fixed = FIXED[type];
  if (fixed === undefined || length < fixed) {
    if (fixed === undefined) found('IORT_UNKNOWN_NODE', at, `node of type ${type}, ${length} bytes`);
    else found('IORT_NODE_TOO_SHORT', at + 1, `${NAMES[type]} of ${length} bytes; its fields need ${fixed}`);
    return { ...common, kind: 'unknown', type, name: '' };
  }
  switch (type) {
    case 0:
      return { ...common, kind: 'its-group', its: readItsIds(b, at, length, found) };
    case 1:
      return {
        ...common,
        kind: 'named-component',
        flags: b.u32(at + 16),
        memory: b.u64(at + 20),
        addressLimit: b.u8(at + 28),
        name: b.text(at + 29, length - 29),
      };
    case 2:
      return {
        ...common,
        kind: 'root-complex',
        memory: b.u64(at + 16),
        ats: b.u32(at + 24),
        segment: b.u32(at + 28),
        addressLimit: length >= 33 ? b.u8(at + 32) : null,
      };
    case 3:
      return {
        ...common,
        kind: 'smmuv2',
        base: b.u64(at + 16),
        span: b.u64(at + 24),
        model: b.u32(at + 32),
        flags: b.u32(at + 36),
      };
    case 4: {
      const flags = b.u32(at + 24);
      const gsivs = { event: b.u32(at + 44), pri: b.u32(at + 48), gerr: b.u32(at + 52), sync: b.u32(at + 56) };
      return {
        ...common,
        kind: 'smmuv3',
        base: b.u64(at + 16),
        flags,
        model: b.u32(at + 40),
        gsivs,
        msiMapping: (flags & 0x10) !== 0 && length >= 68 ? b.u32(at + 64) : null,
      };
    }
    case 5:
      return { ...common, kind: 'pmcg', base: b.u64(at + 16), gsiv: b.u32(at + 24), target: b.u32(at + 28) };
    case 6:
      return { ...common, kind: 'rmr', flags: b.u32(at + 16), ranges: readRmrRanges(b, at, length, found) };
    default:
      return { ...common, kind: 'iwb', type, name: b.text(at + 26, length - 26) };
  }
}

function readMappings(b: Bytes, at: number, length: number, found: TableFindings): IortMapping[] {
  const count = b.u32(at + 8);
  const offset = b.u32(at + 12);
  const mappings: IortMapping[] = [];
  for (let i = 0; i < count; i++) {
    const m = offset + i * 20;
    if (m < 16 || m + 20 > length) {
      found(
        'IORT_MAPPING_OUT_OF_NODE',
        at + 8,
        `mappings ${i} to ${count - 1} start at ${m} of a node of ${length} bytes`,
      );
      break;
    }
    const p = at + m;
    const single = (b.u32(p + 16) & 1) === 1;
    mappings.push({
      offset: p,
      inputBase: b.u32(p),
      count: single ? 1 : b.u32(p + 4) + 1,
      outputBase: b.u32(p + 8),
      target: b.u32(p + 12),
      single,
    });
  }
  return mappings;
}

function readItsIds(b: Bytes, at: number, length: number, found: TableFindings): number[] {
  const count = b.u32(at + 16);
  const fits = Math.min(count, Math.floor((length - 20) / 4));
  if (fits < count) found('IORT_NODE_TOO_SHORT', at + 16, `ITS group of ${count} ids in ${length} bytes`);
  return Array.from({ length: fits }, (_, i) => b.u32(at + 20 + 4 * i));
}

function readRmrRanges(b: Bytes, at: number, length: number, found: TableFindings): RmrNode['ranges'] {
  const count = b.u32(at + 20);
  const offset = b.u32(at + 24);
  const ranges = [];
  for (let i = 0; i < count; i++) {
    const d = offset + 20 * i;
    if (d < 28 || d + 20 > length) {
      found(
        'IORT_NODE_TOO_SHORT',
        at + 20,
        `RMR descriptor ${i} of ${count} lies at ${d} of a node of ${length} bytes`,
      );
      break;
    }
    ranges.push({ offset: at + d, base: b.u64(at + d), length: b.u64(at + d + 8) });
  }
  return ranges;
}

/** How a node is called in findings and in `idMappings`. */
export function nodeName(node: IortNode): string {
  switch (node.kind) {
    case 'root-complex':
      return `pci${node.segment}`;
    case 'named-component':
      return node.name;
    case 'its-group':
      return `its${node.its[0] ?? '?'}`;
    case 'smmuv2':
    case 'smmuv3':
    case 'pmcg':
      return `${node.kind}@${hex(node.base)}`;
    case 'rmr':
      return `rmr@${hex(node.ranges[0]?.base ?? 0n)}`;
    default:
      return node.name || `node@${node.offset}`;
  }
}

/** The streams that a reserved-memory node is for, and at which node; a damaged count must not fill the memory. */
export const rmrStreams = (node: RmrNode): { readonly id: number; readonly target: number }[] => {
  const out: { id: number; target: number }[] = [];
  for (const m of node.mappings)
    for (let i = 0; i < m.count && out.length < 4096; i++) out.push({ id: m.outputBase + i, target: m.target });
  return out;
};
