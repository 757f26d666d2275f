import {
  ALIAS_BASE,
  ALIAS_STRIDE,
  BANK_BASE,
  BANK_STRIDE,
  BRR1,
  CTPR,
  EOI,
  FIRST_INTERNAL,
  FRR,
  GCR,
  GTBCR,
  GTCCR,
  IACK,
  IDR,
  IDR_OFFSET,
  IDR_V2,
  ILR,
  ILR_OFFSET,
  IVPR,
  IVPR_INTERNAL,
  MSIIR,
  MSIIR1,
  MSIIR1_VERSION,
  MSIR,
  MSIR_STRIDE,
  MSISR,
  PIR,
  SVR,
  TFRR,
  TIMER_GROUPS,
  VIR,
  WHOAMI,
  aliasesOf,
  at,
  banksOf,
  cpuAt,
  msirsOf,
  sourceAt,
  sourceCount,
} from '../spec/index.js';

/** Every register of an MPIC of that version, with its place. */
export const mpicRegisters = (version: number, cpus: number) => [
  ...globals(),
  ...sources(version),
  ...banks(version),
  ...perCpu(cpus),
];

const globals = () => {
  const timers = TIMER_GROUPS.flatMap((group) =>
    [0, 1, 2, 3].flatMap((n) => [at(GTCCR, group + 0x40 * n), at(GTBCR, group + 0x40 * n + 0x10)]),
  );
  return [BRR1, FRR, GCR, VIR, PIR, SVR, TFRR, ...timers];
};
const sources = (version: number) => {
  const idr = version < 0x0400 ? IDR_V2 : IDR;
  return Array.from({ length: sourceCount(version) }, (_, n) => [
    at(n < FIRST_INTERNAL ? IVPR : IVPR_INTERNAL, sourceAt(n)),
    at(idr, sourceAt(n) + IDR_OFFSET),
    ...(version < 0x0400 ? [] : [at(ILR, sourceAt(n) + ILR_OFFSET)]),
  ]).flat();
};
const banks = (version: number) => {
  const v43 = version >= MSIIR1_VERSION;
  const doorbell = v43 ? MSIIR1 : MSIIR;
  return [
    ...Array.from({ length: banksOf(version) }, (_, bank) => {
      const base = BANK_BASE + BANK_STRIDE * bank;
      return [
        ...Array.from({ length: msirsOf(version) }, (_, n) => at(MSIR, base + MSIR_STRIDE * n)),
        at(MSISR, base + MSISR.$.at),
        at(MSIIR, base + MSIIR.$.at),
        ...(v43 ? [at(MSIIR1, base + MSIIR1.$.at)] : []),
      ];
    }).flat(),
    ...Array.from({ length: aliasesOf(version) }, (_, bank) =>
      at(doorbell, ALIAS_BASE + ALIAS_STRIDE * bank + doorbell.$.at),
    ),
  ];
};
const perCpu = (cpus: number) => {
  return Array.from({ length: cpus }, (_, c) => [CTPR, WHOAMI, IACK, EOI].map((r) => at(r, cpuAt(c) + r.$.at))).flat();
};
