export * from './capabilities.js';
export * from './header.js';
export * from './msi.js';
export * from './pcie.js';
