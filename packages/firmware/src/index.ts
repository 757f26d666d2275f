export { FirmwareError } from './errors.js';
export {
  Findings,
  findingKinds,
  type Finding,
  type FindingCode,
  type FindingKind,
  type Severity,
} from './findings/index.js';
export * from './acpi/dmar.js';
export * from './acpi/header.js';
export * from './acpi/iort.js';
export * from './acpi/ivrs.js';
export * from './acpi/madt.js';
export * from './acpi/mcfg.js';
export { isFdt, readFdt } from './devicetree/fdt.js';
export { readReg, toRoot, type RegEntry } from './devicetree/address.js';
export { TreeNode, walk, type Property, type Tree } from './devicetree/tree.js';
export { readDump, formatBdf, ridToBdf, type DumpedFunction } from './lspci/dump.js';
export { readFacts, type FunctionFacts, type HeaderLayout } from './lspci/capabilities.js';
export { buildTopology, resolvePath, type Placed, type ResolvedPath, type Topology } from './lspci/topology.js';
export { isolationGroups, requesterIds } from './lspci/groups.js';
export { describe as describeRead, describeMachine } from './machine/describe.js';
export { kindOf, readMachine, type Machine } from './machine/read.js';
export { platformNodes, COMPATIBLE, type MachineNodes, type Omission } from './nodes/index.js';
export type * from './machine/types.js';
