export * from './registers.js';
export * from './msi.js';
export * from './numbers.js';
export * from './lines.js';
