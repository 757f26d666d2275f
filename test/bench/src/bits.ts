import {
  bit,
  bits,
  each,
  getAddress,
  getAt,
  getHi,
  getLo,
  getWide,
  layout,
  long,
  setAt,
  setWide,
  wide,
} from '@doorbell/bits';
import type { Suite } from './harness.js';

const STE = layout('STE', 'IHI 0070 §5.2', 0, 512, {
  V: bit(0),
  Config: bits(3, 1),
  S1ContextPtr: wide(55, 6),
  S1CDMax: bits(63, 59),
  EATS: bits(93, 92),
  MSIADDR: long(191, 128),
  CROSSED: long(267, 204),
});
const MANY = layout('MANY', 'a table of 256 fields', 0, 8192, { ...each('E', 256, (n) => bits(32 * n + 7, 32 * n)) });

const TABLE = 1024; // 64 KiB of STEs: in the second-level cache
const words = new Uint32Array(16 * TABLE);
for (let i = 0, x = 1; i < words.length; i++) words[i] = x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
const mask = 16 * TABLE - 1;

export const bitsSuites: Suite[] = [
  {
    name: 'bits: read two fields of a descriptor',
    workload: 'V and EATS of the next of 1,024 STEs of 64 bytes; one operation is both reads',
    baseline: {
      name: 'shifts and masks as literals',
      run: (n) => {
        let sum = 0;
        for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask)
          sum += (words[at]! & 1) + ((words[at + 2]! >>> 28) & 3);
        return sum;
      },
    },
    rows: [
      {
        name: 'getAt',
        run: (n) => {
          let sum = 0;
          for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask)
            sum += getAt(words, at, STE.V) + getAt(words, at, STE.EATS);
          return sum;
        },
      },
      {
        name: 'getAt in a layout of 256 repeated fields',
        run: (n) => {
          let sum = 0;
          for (let i = 0, at = 0; i < n; i++, at = (at + 16) & (mask >>> 1))
            sum += getAt(words, at, MANY.E0) + getAt(words, at, MANY.E200);
          return sum;
        },
      },
    ],
    budget: { times: 2 },
  },
  {
    name: 'bits: write two fields of a descriptor',
    workload: 'Config and EATS of the next of 1,024 STEs, other bits kept; one operation is both writes',
    baseline: {
      name: 'shifts and masks as literals',
      run: (n) => {
        for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask) {
          words[at] = (words[at]! & ~0xe) | ((i << 1) & 0xe);
          words[at + 2] = (words[at + 2]! & ~0x3000_0000) | ((i << 28) & 0x3000_0000);
        }
        return words[0]!;
      },
    },
    rows: [
      {
        name: 'setAt',
        run: (n) => {
          for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask) {
            setAt(words, at, STE.Config, i);
            setAt(words, at, STE.EATS, i);
          }
          return words[0]!;
        },
      },
    ],
    budget: { times: 2 },
  },
  {
    name: 'bits: read an address across two words',
    workload: 'S1ContextPtr (55:6) of the next of 1,024 STEs as a number, low bits zero',
    baseline: {
      name: 'shifts and a multiplication as literals',
      run: (n) => {
        let sum = 0;
        for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask)
          sum += ((words[at]! & ~0x3f) >>> 0) + (words[at + 1]! & 0xff_ffff) * 4294967296;
        return sum;
      },
    },
    rows: [
      {
        name: 'getAddress',
        run: (n) => {
          let sum = 0;
          for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask) sum += getAddress(words, at, STE.S1ContextPtr);
          return sum;
        },
      },
      {
        name: 'getWide (value not in place)',
        run: (n) => {
          let sum = 0;
          for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask) sum += getWide(words, at, STE.S1ContextPtr);
          return sum;
        },
      },
    ],
    budget: { times: 2 },
  },
  {
    name: 'bits: read 64 bits as (hi, lo)',
    workload: 'both halves of a 64-bit field of the next of 1,024 structures, exclusive-or of them',
    baseline: {
      name: 'two words',
      run: (n) => {
        let sum = 0;
        for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask) sum ^= words[at + 4]! ^ words[at + 5]!;
        return sum;
      },
    },
    rows: [
      {
        name: 'getHi and getLo, aligned',
        run: (n) => {
          let sum = 0;
          for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask)
            sum ^= getHi(words, at, STE.MSIADDR) ^ getLo(words, at, STE.MSIADDR);
          return sum;
        },
      },
    ],
    budget: { times: 2 },
  },
  {
    name: 'bits: read 64 bits that lie in three words',
    workload: 'both halves of a field at 267:204 of the next of 1,024 structures, exclusive-or of them',
    baseline: {
      name: 'shifts as literals',
      run: (n) => {
        let sum = 0;
        for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask) {
          const middle = words[at + 7]!;
          sum ^= ((words[at + 6]! >>> 12) | (middle << 20)) ^ ((middle >>> 12) | (words[at + 8]! << 20));
        }
        return sum;
      },
    },
    rows: [
      {
        name: 'getHi and getLo, crossing',
        run: (n) => {
          let sum = 0;
          for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask)
            sum ^= getHi(words, at, STE.CROSSED) ^ getLo(words, at, STE.CROSSED);
          return sum;
        },
      },
    ],
    budget: { times: 2 },
  },
  {
    name: 'bits: write an address across two words',
    workload: 'S1ContextPtr (55:6) of the next of 1,024 STEs, other bits kept',
    baseline: {
      name: 'shifts and a division as literals',
      run: (n) => {
        for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask) {
          const value = i * 1024;
          words[at] = (words[at]! & 0x3f) | (value << 6);
          words[at + 1] = (words[at + 1]! & ~0xff_ffff) | (Math.floor(value / 0x400_0000) & 0xff_ffff);
        }
        return words[0]!;
      },
    },
    rows: [
      {
        name: 'setWide',
        run: (n) => {
          for (let i = 0, at = 0; i < n; i++, at = (at + 16) & mask) setWide(words, at, STE.S1ContextPtr, i * 1024);
          return words[0]!;
        },
      },
    ],
    budget: { times: 2 },
  },
];
