import type { Backends } from './backends.js';
export const tour = (_inputs: readonly string[], _b: Backends): number => 0;
