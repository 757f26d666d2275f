export { FSLPCI_COMPATIBLE, fslPci, fslPciNode, type FslPciNode } from './plugin.js';
export { FslPciBridge } from './model/bridge.js';
export { FslPciDriver, InboundLevel } from './driver/windows.js';
export type { FslPciOptions } from './options.js';
