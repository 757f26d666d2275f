export * from './plugin.js';
export type { SmmuOptions } from './model/features.js';
export type { CapturedRegister, Wires } from './model/smmu.js';
export { Smmu } from './model/smmu.js';
