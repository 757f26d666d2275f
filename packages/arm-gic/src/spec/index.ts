export * from './gic.js';
export * from './its.js';
