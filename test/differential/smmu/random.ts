import { levelShift, startLevel } from '@doorbell/arm-smmuv3/spec';
import { READ, WRITE } from '@doorbell/platform';
import { AT, BASE, type Config, type Descriptor } from './config.js';

/** xorshift32. */
export function generator(seed: number): (below: number) => number {
  let s = Math.imul(seed, 0x9e3779b9) | 0 || 1;
  return (below) => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) % below;
  };
}

const T0SZ: Readonly<Record<number, readonly number[]>> = {
  12: [16, 17, 20, 25, 28, 32, 34, 39],
  14: [16, 17, 20, 28, 32, 36, 39],
  16: [16, 22, 25, 28, 32, 36, 39],
};

/** One configuration in three gets a change that decides about its verdict. */
export function randomConfig(seed: number): Config {
  const pick = generator(seed);
  const of = <T>(list: readonly T[]): T => list[pick(list.length)]!;
  const tg = pick(3);
  const g = [12, 16, 14][tg]!;
  const t0sz = of(T0SZ[g]!);
  const bits = 64 - t0sz;
  const start = startLevel(g, bits);
  const first = Math.max(start, g === 12 ? 1 : 2);
  const leaf = first + pick(4 - first);
  const shift = levelShift(g, leaf);
  const blocks = 2 ** Math.min(bits - shift, 30);
  const iova = pick(blocks) * 2 ** shift + (AT.target % 2 ** shift);
  let c: Config = {
    ...BASE,
    cd: { ...BASE.cd, TG0: tg, T0SZ: t0sz, ASID: pick(65536), IPS: 4 + pick(4), WXN: pick(2), AFFD: 0 },
    ste: { ...BASE.ste, S1CIR: pick(4), S1CSH: pick(4), SHCFG: pick(4), CONT: pick(16) },
    access: of([READ, WRITE]),
    iova,
    leaf,
  };
  const descriptor = (level: number, d: Descriptor) => {
    c = { ...c, descriptors: { ...c.descriptors, [level]: { ...c.descriptors[level], ...d } } };
  };
  descriptor(leaf, { setHi: (pick(16) << 23) >>> 0, set: (pick(8) << 2) | (pick(4) << 8) });
  if (pick(3) > 0) return c;
  const level = start + pick(leaf - start + 1);
  switch (pick(10)) {
    case 0:
      descriptor(level, { lo: 0 });
      break;
    case 1:
      descriptor(leaf, { set: 0x80 });
      break;
    case 2:
      descriptor(leaf, { clear: 0x400 });
      break;
    case 3:
      descriptor(leaf, { clear: 0x40 });
      break;
    case 4:
      if (start < leaf) descriptor(start, { setHi: 1 << 30 });
      break;
    case 5:
      if (start < leaf) descriptor(start, { lo: 0x6000_0003 });
      break;
    case 6:
      c = {
        ...c,
        ste: { ...c.ste, ...of([{ V: 0 }, { Config: 0 }, { Config: 6 }, { S1STALLD: 1 }, { S1CDMax: 1 + pick(4) }]) },
      };
      break;
    case 7:
      c = {
        ...c,
        cd: { ...c.cd, ...of([{ V: 0 }, { A: 0 }, { S: 1 }, { HA: 1 }, { AA64: 0 }, { ENDI: 1 }, { EPD0: 1 }]) },
      };
      break;
    case 8:
      if (bits < 46) c = { ...c, iova: c.iova + 2 ** bits };
      break;
    default:
      c = { ...c, log2size: of([4, 5, 6, 7]) };
  }
  return c;
}
