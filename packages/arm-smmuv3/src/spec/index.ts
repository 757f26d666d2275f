export * from './commands.js';
export * from './events.js';
export * from './registers.js';
export * from './structures.js';
export * from './vmsa.js';
