export * from './virt.js';
