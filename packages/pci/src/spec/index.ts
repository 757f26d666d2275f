export * from './capabilities.js';
export * from './header.js';
export * from './msi.js';
export * from './pcie.js';
export * from './quirks.js';
export * from './devices/edu.js';
export * from './devices/nvme-like.js';
export * from './devices/test-function.js';
