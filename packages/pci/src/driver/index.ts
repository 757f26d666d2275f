export { aliasesOf, type Alias } from './aliases.js';
export { barAddress } from './assign.js';
export { PCI, PciBus, type AllocateVectors } from './bus.js';
export { cf8Port, ecamPort, type ConfigPort } from './config-port.js';
export { PciDevice, type Bar, type BarPort } from './device.js';
export { acsIsolates } from './groups.js';
export { Vectors, type EnableOptions, type VectorKind } from './vectors.js';
