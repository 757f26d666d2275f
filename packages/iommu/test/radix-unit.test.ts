import { HardwareError, Platform, READ, WRITE } from '@doorbell/platform';
import { expect, it } from 'vitest';
import { RadixUnit, quadwords, type RadixTable } from '../src/index.js';

const FORMAT = quadwords({ levels: 3, table: 4, pagesAt: [0, 1] });

/** Writes down what it is told; refuses to forget where asked. */
class Unit extends RadixUnit {
  readonly log: string[] = [];
  refuses = false;
  protected point(stream: number, target: RadixTable | 'identity' | 'blocked'): void {
    this.log.push(`${stream} → ${typeof target === 'string' ? target : `0x${target.rootAddress.toString(16)}`}`);
  }
  protected forget(table: RadixTable): void {
    if (this.refuses) throw new HardwareError('REFUSED', 'no', '');
    this.log.push(`forget 0x${table.rootAddress.toString(16)}`);
  }
  drainFaults(): [] {
    return [];
  }
}
const unit = (): Unit =>
  new Unit('u', new Platform({ memory: [{ base: 0, size: 2 ** 24 }] }).compose().software, FORMAT);

it('what a unit can do follows from its format', () => {
  const u = unit();
  expect(u.capabilities).toMatchObject({ pageSizes: [4096, 2 ** 21], aperture: { first: 0, last: 2 ** 39 - 1 } });
  const table = u.createTable();
  table.map(0, 0x12_3456_7000, 4096, READ | WRITE);
  expect(table.iovaToPhys(0x10)).toBe(0x12_3456_7010);
  expect(u.accepts(table)).toBe(true);
  expect(u.createTable({ pageSizes: [4096] }).granule).toBe(4096);
});

it('the old table is forgotten after the stream points at the new one; a refusal puts it back', () => {
  const u = unit();
  const [one, two] = [u.createTable(), u.createTable()];
  const [a, b] = [one, two].map((t) => `0x${t.rootAddress.toString(16)}`);
  u.attach(7, one);
  u.attach(7, two);
  expect(u.log).toEqual([`7 → ${a}`, `7 → ${b}`, `forget ${a}`]);
  u.log.length = 0;
  u.refuses = true;
  expect(() => u.attach(7, 'blocked')).toThrow(HardwareError);
  expect(u.log).toEqual(['7 → blocked', `7 → ${b}`]);
  u.refuses = false;
  u.log.length = 0;
  u.attach(7, 'identity');
  expect(u.log).toEqual(['7 → identity', `forget ${b}`]);
});
