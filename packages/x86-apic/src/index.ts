export * from './plugin.js';
export type { ApicTarget } from './driver/vectors.js';
export type { Apics } from './model/apics.js';
export type { Ioapic, IoapicOptions } from './model/ioapic.js';
export type { Lapic, LapicOptions } from './model/lapic.js';
export * from './capture.js';
