export * from './plugin.js';
export type { SmmuOptions } from './model/features.js';
export type { Wires } from './model/signals.js';
export { Smmu } from './model/smmu.js';
export { SmmuDriver, type SmmuDriverOptions, type StreamRegion } from './driver/unit.js';
export { Stage1Table } from './driver/table.js';
export { Stage2Table } from './driver/stage2-table.js';
export { NestedTable, type SmmuGuestStage1 } from './driver/nested.js';
export { capture } from './capture.js';
