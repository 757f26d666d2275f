export { Container, type ContainerInfo, type OpenOptions } from './container.js';
export { VfioDevice } from './device.js';
export { Signal } from './signal.js';
export { VFIO, Vfio } from './vfio.js';
