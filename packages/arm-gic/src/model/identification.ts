import type { RegisterFile } from '@doorbell/platform';
import { CIDR, PIDR } from '../spec/index.js';

/** Constant identification registers at the end of a 64 KiB frame; PIDR2 is the block's own. */
export function identify(file: RegisterFile, part: number): void {
  const constant = (offset: number, value: number) => file.onRead(offset, () => value);
  constant(0xffd0, PIDR.PIDR4);
  constant(0xffe0, part);
  constant(0xffe4, PIDR.PIDR1);
  constant(0xffec, 0);
  CIDR.forEach((value, i) => constant(0xfff0 + 4 * i, value));
}

/** Identification registers of a 64 KiB frame: they say nothing about its state. */
export const isIdentification = (offset: number): boolean => (offset & 0xffff) >= 0xffd0;
