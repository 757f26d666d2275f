export { mpic, mpicNodes, BANK_COMPATIBLE, MPIC_COMPATIBLE, type MpicPluginOptions } from './plugin.js';
export { Mpic, type Output } from './model/mpic.js';
export type { MpicOptions } from './model/options.js';
export { MPIC, MpicDriver, type MpicSoftware } from './driver/mpic.js';
export { MsiBank, type BankOptions, type MpicTarget } from './driver/msi.js';
export { MpicProbe } from './probe.js';
