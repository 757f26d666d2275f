export * from './address.js';
export * from './errors.js';
export * from './ports.js';
export * from './trace.js';
