export * from './minimal/plugin.js';
