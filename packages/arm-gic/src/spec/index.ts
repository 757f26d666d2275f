export * from './gic.js';
export * from './its.js';
export * from './gicv2.js';
