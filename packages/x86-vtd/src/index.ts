export * from './plugin.js';
export type { VtdOptions, VtdConfig } from './model/options.js';
export type { VtdUnit } from './model/unit.js';
export type { VtdDriver } from './driver/driver.js';
export type { DriverOptions, ReservedOption } from './driver/options.js';
export type { SecondLevelTable } from './driver/second-level.js';
