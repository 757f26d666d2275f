export * from './spec/index.js';
export * from './model/index.js';
export * from './driver/index.js';
export * from './options.js';
export * from './plugin.js';
