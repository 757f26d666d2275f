export * from './block.js';
export * from './core.js';
export * from './cpu-interface.js';
export * from './domain.js';
export * from './errors.js';
export * from './level.js';
export * from './message.js';
export * from './number-space.js';
