export * from './ioapic.js';
export * from './lapic.js';
export * from './messages.js';
