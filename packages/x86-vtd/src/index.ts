export * from './plugin.js';
export type { ModelMutant, VtdOptions, VtdConfig } from './model/options.js';
export type { VtdUnit } from './model/unit.js';
export type { VtdDriver } from './driver/driver.js';
export type { DriverMutant, DriverOptions, ReservedOption } from './driver/options.js';
export type { SecondLevelTable } from './driver/second-level.js';
export * from './capture.js';
