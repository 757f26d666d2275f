export * from './first-stage.js';
export * from './geometry.js';
export * from './second-stage.js';
