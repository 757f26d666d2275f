export * from './plugin.js';
export { Gicv3, type Gicv3Options } from './model/gicv3.js';
export { Its, type ItsOptions } from './model/its.js';
export { V2mFrame, type V2mOptions } from './model/v2m.js';
export { GIC, type GicSoftware } from './driver/gic.js';
export { ItsDriver, type ItsTargetOf } from './driver/its.js';
export { V2mDriver, type V2mTarget } from './driver/v2m.js';
export { captures } from './capture.js';
