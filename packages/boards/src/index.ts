export * from './q35.js';
export * from './virt.js';
export * from './serve.js';
export type { DmaBegin, DmaEnd, DmaObserver } from './serve-devices.js';
export * from './qoriq.js';
