export { Domain, type DomainType, type FlushMode, type GuestView, type MsiDemand } from './domain.js';
export * from './core.js';
export type { DoorbellPage, MsiArithmetic } from './errors.js';
export type { Group } from './groups.js';
export { IovaAllocator } from './iova-allocator.js';
export type { WindowShare } from './translator.js';
export * from './unit.js';
export { RadixTable, readWrite, type RadixFormat } from './radix-table.js';
export { MsiWindow } from './window.js';
