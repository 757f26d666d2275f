/** One access. `expect` of a read is QEMU's result where a known deviation makes it another than the model's. */
export type Step =
  | { readonly write: number; readonly value: number }
  | { readonly read: number; readonly deviation?: { readonly id: DeviationId; readonly qemu: number } };

/** Known differences of QEMU 7.2's openpic, each with what it follows from. */
export const DEVIATIONS = {
  'iack-in-service':
    'fact sheet B3.3: only above anything in service; openpic_iack looks at the task priority alone, so a source in service is taken again',
  'idr-while-pending':
    'write_IRQreg_idr changes the mask and updates nothing: what is pending stays where it was until its line falls',
  'reset-keeps-msir': 'openpic_reset leaves msi[].msir as it is',
  'reset-keeps-ilr': 'openpic_reset leaves the output of each source as it is',
  'pir-reads-zero': 'openpic_gbl_read answers 0 for PIR whatever was written',
  'inttgt-unknown': 'write_IRQreg_ilr takes an INTTGT that it does not know for int',
} as const;
export type DeviationId = keyof typeof DEVIATIONS;

const SPURIOUS = 0xffff;
const cpu = (c: number, offset: number): number => 0x2_0000 + 0x1000 * c + offset;
/** Source of MSIRn. */
const source = (n: number): number => 0x1_0000 + 0x20 * (224 + n);

const w = (at: number, value: number): Step => ({ write: at, value: value >>> 0 });
const r = (at: number): Step => ({ read: at });
const differs = (at: number, id: DeviationId, qemu: number): Step => ({ read: at, deviation: { id, qemu } });

export const ctpr = (value: number, c = 0): Step => w(cpu(c, 0x80), value);
export const iack = (c = 0): Step => r(cpu(c, 0xa0));
export const eoi = (c = 0): Step => w(cpu(c, 0xb0), 0);
export const msi = (srs: number, ibs: number): Step => w(0x1740, (srs << 29) | (ibs << 24));
export const msir = (n: number): Step => r(0x1600 + 0x10 * n);
export const msisr = r(0x1720);
export const ivpr = (n: number): Step => r(source(n));
export const setup = (n: number, priority: number, vector: number, idr = 1): Step[] => [
  w(source(n) + 0x10, idr),
  w(source(n), (priority << 16) | vector),
];
export const idr = (n: number, value: number): Step => w(source(n) + 0x10, value);
export const mask = (n: number, priority: number, vector: number): Step =>
  w(source(n), 0x8000_0000 | (priority << 16) | vector);
const open = [ctpr(0), ctpr(0, 1)];

/** Named scenarios: structure, what is varied, what has to be seen. */
export const ROWS: readonly (readonly [string, readonly Step[]])[] = [
  ['BRR1, FRR, VIR: what the block is', [r(0x0000), r(0x1000), r(0x1080)]],
  [
    'GCR after reset, and every mode that it can be set to',
    [r(0x1020), ...[1, 2, 3, 0].flatMap((m) => [w(0x1020, m << 29), r(0x1020)])],
  ],
  ['SVR: 16 bits, all ones after reset', [r(0x10e0), w(0x10e0, 0xabcd_1234), r(0x10e0)]],
  ['TFRR keeps what is written', [w(0x10f0, 0x1234_5678), r(0x10f0)]],
  ['WHOAMI of each CPU', [r(cpu(0, 0x90)), r(cpu(1, 0x90))]],
  ['CTPR: 15 after reset, four bits', [r(cpu(0, 0x80)), ctpr(0xf7), r(cpu(0, 0x80)), r(cpu(1, 0x80))]],
  [
    'IVPR of an internal source: reset, no sense bit, activity read-only',
    [ivpr(0), w(source(0), 0x7fff_ffff), ivpr(0)],
  ],
  ['IVPR of an external source: reset, sense and polarity', [r(0x1_0040), w(0x1_0040, 0x80cf_0011), r(0x1_0040)]],
  [
    'IDR: CPU 0 after reset, bits of present CPUs only',
    [r(source(0) + 0x10), idr(0, 0xffff_ffff), r(source(0) + 0x10)],
  ],
  [
    'ILR: int after reset, critical, machine check',
    [r(source(0) + 0x18), ...[1, 2, 0].flatMap((t) => [w(source(0) + 0x18, t), r(source(0) + 0x18)])],
  ],
  ['IACK with nothing pending: SVR, also another one', [iack(), w(0x10e0, 0x77), iack(1)]],
  [
    'routing: one MSI to CPU 0',
    [...open, ...setup(1, 8, 0x25), msi(1, 5), ivpr(1), iack(1), iack(), msir(1), eoi(), iack()],
  ],
  [
    'routing: one MSI to CPU 1',
    [...open, ...setup(1, 8, 0x25, 2), msi(1, 5), iack(), iack(1), msir(1), eoi(1), iack(1)],
  ],
  [
    'routing: a source for both CPUs is taken by each until MSIR is read',
    [...open, ...setup(2, 8, 0x30, 3), msi(2, 0), iack(), iack(1), msir(2), eoi(), eoi(1), iack(), iack(1)],
  ],
  ['routing: no destination', [...open, ...setup(2, 8, 0x30, 0), msi(2, 0), iack(), iack(1), msisr, msir(2)]],
  [
    'routing: IDR moved between two MSIs',
    [
      ...open,
      ...setup(3, 8, 0x31),
      msi(3, 1),
      iack(),
      msir(3),
      eoi(),
      idr(3, 2),
      msi(3, 2),
      iack(),
      iack(1),
      msir(3),
      eoi(1),
    ],
  ],
  [
    'masking: a masked source stays silent and keeps its bits',
    [...open, ...setup(0, 8, 0x20), mask(0, 8, 0x20), msi(0, 3), ivpr(0), iack(), msisr, msir(0)],
  ],
  [
    'masking: unmasking gives what came meanwhile',
    [...open, ...setup(0, 8, 0x20), mask(0, 8, 0x20), msi(0, 3), ...setup(0, 8, 0x20), ivpr(0), iack(), msir(0), eoi()],
  ],
  [
    'masking: masked while pending is withdrawn',
    [...open, ...setup(0, 8, 0x20), msi(0, 3), mask(0, 8, 0x20), ivpr(0), iack(), msir(0)],
  ],
  [
    'masking: read out while masked, nothing is left',
    [...open, ...setup(0, 8, 0x20), mask(0, 8, 0x20), msi(0, 3), msir(0), ...setup(0, 8, 0x20), iack()],
  ],
  ['priority 0 is never delivered', [...open, ...setup(0, 0, 0x20), msi(0, 0), iack(), msir(0)]],
  [
    'priority equal to CTPR is held back, one above is not',
    [ctpr(8), ...setup(0, 8, 0x20), msi(0, 0), iack(), ctpr(7), iack(), msir(0), eoi()],
  ],
  [
    'CTPR 15 holds back everything',
    [ctpr(15), ...setup(0, 15, 0x20), msi(0, 0), iack(), ctpr(14), iack(), msir(0), eoi()],
  ],
  [
    'of two pending the higher priority comes first',
    [
      ...open,
      ...setup(0, 5, 0x20),
      ...setup(1, 9, 0x21),
      msi(0, 0),
      msi(1, 0),
      iack(),
      msir(1),
      eoi(),
      iack(),
      msir(0),
      eoi(),
    ],
  ],
  [
    'of two equal ones the lower number comes first',
    [
      ...open,
      ...setup(4, 7, 0x24),
      ...setup(2, 7, 0x22),
      msi(4, 0),
      msi(2, 0),
      iack(),
      msir(2),
      eoi(),
      iack(),
      msir(4),
      eoi(),
    ],
  ],
  [
    'a higher one over one in service; EOI ends the higher',
    [
      ...open,
      ...setup(0, 5, 0x20),
      ...setup(1, 9, 0x21),
      msi(0, 0),
      iack(),
      msir(0),
      msi(1, 0),
      iack(),
      msir(1),
      eoi(),
      eoi(),
      iack(),
    ],
  ],
  ['EOI with nothing in service', [...open, ...setup(0, 5, 0x20), eoi(), msi(0, 0), iack(), msir(0), eoi()]],
  ['clear on read: MSIR gives its bits once', [msi(7, 31), msi(7, 0), msir(7), msir(7)]],
  [
    'clear on read: MSISR and activity fall with it',
    [...setup(6, 5, 0x26), msi(6, 9), msisr, ivpr(6), msir(6), msisr, ivpr(6)],
  ],
  [
    'clear on read: one MSIR leaves the others alone',
    [msi(0, 1), msi(5, 2), msi(7, 3), msisr, msir(5), msisr, msir(0), msir(7), msisr],
  ],
  [
    'sharing: 32 bits of one MSIR are one interrupt',
    [...open, ...setup(1, 8, 0x25), ...Array.from({ length: 32 }, (_, b) => msi(1, b)), iack(), msir(1), eoi(), iack()],
  ],
  [
    'sharing: the same bit twice before the read is one event',
    [...open, ...setup(1, 8, 0x25), msi(1, 4), msi(1, 4), iack(), msir(1), eoi(), iack()],
  ],
  [
    'sharing: an MSI after the read and before EOI comes again after EOI',
    [...open, ...setup(1, 8, 0x25), msi(1, 4), iack(), msir(1), msi(1, 6), eoi(), iack(), msir(1), eoi(), iack()],
  ],
  [
    'sharing: not read before EOI, it comes again',
    [...open, ...setup(1, 8, 0x25), msi(1, 4), iack(), eoi(), iack(), msir(1), eoi(), iack()],
  ],
  ['MSIIR reads 0; MSIRs ignore writes', [r(0x1740), msi(2, 2), w(0x1620, 0), w(0x1720, 0), msir(2)]],
  ['vectors have 16 bits', [...open, ...setup(0, 5, 0xfffe), msi(0, 0), iack(), msir(0), eoi()]],
  [
    'the vector is the one at the time of the acknowledge',
    [...open, ...setup(0, 5, 0x20), msi(0, 0), ...setup(0, 5, 0x99), iack(), msir(0), eoi()],
  ],
  [
    'a critical source is nothing for IACK',
    [...open, w(source(0) + 0x18, 1), ...setup(0, 8, 0x20), msi(0, 0), iack(), msisr, msir(0), iack()],
  ],
  [
    'GCR.RST masks sources and closes CPUs',
    [...open, ...setup(0, 8, 0x20), w(0x1020, 0x8000_0000), ivpr(0), r(source(0) + 0x10), r(cpu(0, 0x80)), r(0x10e0)],
  ],

  [
    'deviation: IACK again while the source is in service',
    [
      ...open,
      ...setup(1, 8, 0x25),
      msi(1, 4),
      iack(),
      differs(cpu(0, 0xa0), 'iack-in-service', 0x25),
      msir(1),
      eoi(),
      iack(),
    ],
  ],
  [
    'deviation: a lower one below one in service',
    [
      ...open,
      ...setup(0, 5, 0x20),
      ...setup(1, 9, 0x21),
      msi(1, 0),
      iack(),
      msir(1),
      msi(0, 0),
      differs(cpu(0, 0xa0), 'iack-in-service', 0x20),
      msir(0),
    ],
  ],
  [
    'deviation: IDR changed under a pending source',
    [
      ...open,
      ...setup(3, 8, 0x31),
      msi(3, 1),
      idr(3, 2),
      differs(cpu(0, 0xa0), 'idr-while-pending', 0x31),
      differs(cpu(1, 0xa0), 'idr-while-pending', SPURIOUS),
    ],
  ],
  [
    'deviation: reset with a bit in MSIR',
    [
      msi(3, 1),
      w(0x1020, 0x8000_0000),
      differs(0x1720, 'reset-keeps-msir', 8),
      { ...msir(3), deviation: { id: 'reset-keeps-msir', qemu: 2 } },
    ],
  ],
  [
    'deviation: reset of ILR',
    [w(source(5) + 0x18, 1), w(0x1020, 0x8000_0000), differs(source(5) + 0x18, 'reset-keeps-ilr', 1)],
  ],
  ['deviation: PIR reads back', [w(0x1090, 2), differs(0x1090, 'pir-reads-zero', 0), w(0x1090, 0)]],
  [
    'deviation: an INTTGT that nobody knows',
    [w(source(0) + 0x18, 0), w(source(0) + 0x18, 5), differs(source(0) + 0x18, 'inttgt-unknown', 0)],
  ],
];
