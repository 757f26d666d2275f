export * from './bridge.js';
export * from './config-space.js';
export * from './definition.js';
export * from './devices/edu.js';
export * from './from-dump.js';
export * from './devices/nvme-like.js';
export * from './devices/test-function.js';
export { PCI_HARDWARE, PciHardware, PciHostModel, type IntxListener } from './host.js';
export { PciFunction } from './function.js';
