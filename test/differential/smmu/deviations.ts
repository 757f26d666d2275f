import { WRITE } from '@doorbell/platform';
import { SID, type Config, type Descriptor } from './config.js';
import type { Result } from './sides.js';

/**
 * Where QEMU 7.2 is known to differ. `as`: QEMU answers as the architecture does for this other configuration. `patch`: what it
 * answers instead, in the one field named. Both give the exact result, which is asserted.
 */
export interface Deviation {
  readonly id: string;
  readonly citation: string;
  readonly field: string;
  when(c: Config, architecture: Result): boolean;
  as?(c: Config): Config;
  patch?(r: Result, c: Config): Result;
}

const at = (c: Config, level: number, d: Descriptor): Config => ({
  ...c,
  descriptors: { ...c.descriptors, [level]: { ...c.descriptors[level], ...d } },
});
const leafOf = (c: Config): Descriptor => c.descriptors[c.leaf] ?? {};
const id = (event: string): number => parseInt(event, 16) & 0xff;
const eventWords = (r: Result, change: (w: string[]) => string[]): Result => ({
  ...r,
  events: r.events.map((e) => change(e.split(' ')).join(' ')),
});

export const DEVIATIONS: readonly Deviation[] = [
  {
    id: 'no-access-flag',
    citation: 'fact sheet §15: 7.2 has no F_ACCESS',
    field: 'leaf AF',
    when: (c) => ((leafOf(c).clear ?? 0) & 0x400) !== 0 && leafOf(c).lo === undefined,
    as: (c) => at(c, c.leaf, { clear: leafOf(c).clear! & ~0x400 }),
  },
  {
    id: 'ap1-ignored',
    citation: 'fact sheet §15: AP[1], privilege, exec ignored (all privileged data)',
    field: 'leaf AP[1]',
    when: (c) => ((leafOf(c).clear ?? 0) & 0x40) !== 0,
    as: (c) => at(c, c.leaf, { clear: leafOf(c).clear! & ~0x40 }),
  },
  {
    id: 'output-size-unchecked',
    citation: 'fact sheet §15: 7.2 has no F_ADDR_SIZE in a walk; it goes on to the address',
    field: 'CD.IPS against addresses in descriptors',
    when: (_c, r) => r.events.some((e) => id(e) === 0x11),
    as: (c) => ({ ...c, cd: { ...c.cd, IPS: 5 } }),
  },
  {
    id: 'block-at-any-level',
    citation: 'fact sheet §9: QEMU accepts a block at any level below 3',
    field: 'descriptor type at level 0',
    when: (c) => c.leaf === 0,
    as: (c) => ({ ...c, leaf: 1 }),
  },
  {
    id: 'aptable-before-leaf',
    citation: 'fact sheet §15: permission fault raised at the table, before the leaf is read',
    field: 'table APTable',
    when: (c, r) =>
      c.access === WRITE &&
      (c.cd['HAD0'] ?? 0) === 0 &&
      r.events.some((e) => id(e) === 0x10) &&
      Object.entries(c.descriptors).some(([level, d]) => Number(level) < c.leaf && ((d.setHi ?? 0) & (1 << 30)) !== 0),
    as: (c) => ({ ...c, descriptors: { ...c.descriptors, [c.leaf]: {} } }),
  },
  {
    id: 'haft-unchecked',
    citation: 'fact sheet §8: HAFT without HA is C_BAD_CD; QEMU 7.2 does not look at it',
    field: 'CD.HAFT',
    when: (c) => c.cd['HAFT'] === 1 && (c.cd['HA'] ?? 0) === 0,
    as: (c) => ({ ...c, cd: { ...c.cd, HAFT: 0 } }),
  },
  {
    id: 's1cdmax-illegal',
    citation: 'fact sheet §15: C_BAD_STE although SSIDSIZE = 0',
    field: 'STE.S1CDMax',
    when: (c, r) =>
      (c.ste['S1CDMax'] ?? 0) !== 0 && c.ste['Config'] === 5 && c.ste['V'] === 1 && !r.events.some((e) => id(e) < 4),
    as: (c) => ({ ...c, ste: { ...c.ste, S1STALLD: 1 } }),
  },
  {
    id: 'recinvsid-ignored',
    citation: 'fact sheet §15: C_BAD_STREAMID recorded without looking at RECINVSID',
    field: 'CR2.RECINVSID',
    when: (c) => (c.cr2 & 2) === 0,
    as: (c) => ({ ...c, cr2: c.cr2 | 2 }),
  },
  {
    id: 'span-unlimited',
    citation: 'fact sheet §15, SPAN limit: SPAN > SPLIT + 1 is taken as it is',
    field: 'L1STD.SPAN',
    when: (c) => c.twoLevel !== undefined && c.twoLevel.span > c.twoLevel.split + 1,
    as: (c) => ({ ...c, twoLevel: { split: c.twoLevel!.split, span: c.twoLevel!.split + 1 } }),
  },
  {
    id: 'span-beyond',
    citation: 'fact sheet §15: a StreamID beyond the span is reported as C_BAD_STE, the limit being 2^SPAN − 1',
    field: 'EVENT.ID',
    when: ({ twoLevel: t, log2size }) =>
      t !== undefined && t.span > 0 && 2 ** log2size > SID && SID % 2 ** t.split > 2 ** t.span - 1,
    patch: (r) => eventWords(r, (w) => w.with(0, '4')),
  },
  {
    id: 'commands-accepted',
    citation:
      'fact sheet §15: absent features, SYNC with CS = 3 and TG ≠ 0 with NUM = SCALE = TTL = 0 are accepted as no-ops',
    field: 'CMDQ_CONS.ERR',
    when: (c) => c.before?.commands.some(accepted) ?? false,
    as: (c) => ({
      ...c,
      before: { ...c.before!, commands: c.before!.commands.map((w) => (accepted(w) ? [0x46] : w)) },
    }),
  },
  {
    id: 'class-zero',
    citation: 'fact sheet §15: CLASS of 0x10–0x13 is 0',
    field: 'EVENT.CLASS',
    when: (_c, r) => r.events.some((e) => id(e) >= 0x10 && id(e) <= 0x13),
    patch: (r) =>
      eventWords(r, (w) => (id(w[0]!) >= 0x10 ? w.with(3, (parseInt(w[3]!, 16) & ~0x300).toString(16)) : w)),
  },
  {
    id: 'cd-fetch-address',
    citation: 'fact sheet §15: F_CD_FETCH has its address in w5:w4',
    field: 'EVENT.FETCH',
    when: (_c, r) => r.events.some((e) => id(e) === 0x09),
    patch: (r) => eventWords(r, (w) => (id(w[0]!) === 9 ? [...w.slice(0, 4), w[6]!, w[7]!, '0', '0'] : w)),
  },
];

/** Commands that are CERROR_ILL on this unit and that QEMU takes. */
const accepted = ([w0 = 0, , w2 = 0]: readonly number[]): boolean =>
  [0x18, 0x1a, 0x20, 0x21, 0x22, 0x23, 0x28, 0x2a, 0x40, 0x41, 0x44, 0x45].includes(w0 & 0xff) ||
  ((w0 & 0xff) === 0x46 && ((w0 >>> 12) & 3) === 3) ||
  ([0x12, 0x13].includes(w0 & 0xff) && (w2 & 0xc00) !== 0 && (w2 & 0x300) === 0 && (w0 & 0x1f1_f000) === 0);

/** What QEMU answers, by what the model answers and the deviations that apply; they are counted. */
export function expected(c: Config, ask: (c: Config) => Result, hits: Map<string, number>): Result {
  let config = c;
  let result = ask(c);
  for (const d of DEVIATIONS) {
    if (!d.when(config, result)) continue;
    hits.set(d.id, (hits.get(d.id) ?? 0) + 1);
    if (d.as) {
      config = d.as(config);
      result = ask(config);
    }
    if (d.patch) result = d.patch(result, config);
  }
  return result;
}
