export * from './q35.js';
export * from './virt.js';
