export * from './address.js';
export * from './block.js';
export * from './bus.js';
export * from './capture.js';
export * from './clock.js';
export type { Description, DescribedNode } from './describe.js';
export * from './device.js';
export * from './diagnostics.js';
export {
  elfBanks,
  loadElfCore,
  readElfCore,
  saveElfCore,
  type ElfCore,
  type ElfCoreOptions,
  type ElfSegment,
} from './dump/elf.js';
export { loadRaw, saveRaw } from './dump/raw.js';
export { loadSparse, saveSparse } from './dump/sparse.js';
export type { Bytes } from './dump/stream.js';
export * from './errors.js';
export * from './fabric.js';
export * from './hooks.js';
export * from './memory.js';
export * from './node.js';
export * from './overlap.js';
export * from './pages.js';
export * from './platform.js';
export * from './plugin.js';
export * from './ports.js';
export * from './registers.js';
export * from './tokens.js';
export * from './trace.js';
export * from './translation-cache.js';
