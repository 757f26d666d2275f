export * from './registers.js';
export * from './msi.js';
