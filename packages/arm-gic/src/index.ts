export * from './plugin.js';
export { Gicv2, type Gicv2Options } from './model/gicv2.js';
export { Gicv3, type Gicv3Options } from './model/gicv3.js';
export { Its, type ItsOptions } from './model/its.js';
export { V2mFrame, type V2mOptions } from './model/v2m.js';
export { GIC, SPIS, type GicSoftware, type SpiSoftware } from './driver/gic.js';
export { ItsDriver, type ItsTargetOf } from './driver/its.js';
export { V2mDriver, type V2mTarget } from './driver/v2m.js';
export { captures } from './capture.js';
