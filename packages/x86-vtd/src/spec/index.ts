export * from './capabilities.js';
export * from './faults.js';
export * from './interrupts.js';
export * from './queue.js';
export * from './registers.js';
export * from './tables.js';
