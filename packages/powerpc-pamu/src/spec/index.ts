export * from './registers.js';
export * from './paace.js';
export * from './encodings.js';
export * from './violations.js';
