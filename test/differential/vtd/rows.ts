import { AT, EDU, R, table, TARGETS, type Bench, type Seen } from './bench.js';
import type { Pair } from './compare.js';

/** One distinct (structure, field, verdict). `verdict` is what the architecture says: the model must show it. */
export interface Row {
  readonly structure: string;
  readonly field: string;
  readonly verdict: string;
  readonly run: (p: Pair) => void;
  /** Which parts of the unit are on. Default: all. */
  readonly what?: string;
}

const PAGE = 0x4020_1000;
const PTE = table(1) + 8;
const MSI = 0xfee0_0010;
const expectSeen = (seen: Seen, wanted: Seen): void => {
  for (const [field, value] of Object.entries(wanted))
    if (seen[field] !== value)
      throw new Error(`the model shows ${field} = ${seen[field]}, the architecture says ${value}`);
};

/** A change, then one write and one read: where they go, or with which reason they fault. */
const dma = (
  structure: string,
  field: string,
  outcome: { readonly to: number } | { readonly write: number; readonly read?: number },
  change: (b: Bench) => void,
  iova = PAGE,
): Row => ({
  structure,
  field,
  verdict: 'to' in outcome ? 'translated' : `fault 0x${outcome.write.toString(16)}`,
  run: (p) => {
    p.both(change);
    const wrote = p.same((b) => b.write(iova));
    if ('to' in outcome) expectSeen(wrote, { landed: `0x${outcome.to.toString(16)}`, record: 0 });
    else expectSeen(wrote, { landed: 'nowhere', reason: outcome.write, sid: EDU[0] });
    p.both((b) => b.clearFaults());
    const read = p.same((b) => b.read(iova));
    expectSeen(read, 'to' in outcome ? { record: 0 } : { reason: outcome.read ?? outcome.write });
  },
});

const nothing = (): void => undefined;
const at = (offset = 0): number => AT.context + 16 * EDU[0] + offset;

export const DMA_ROWS: readonly Row[] = [
  dma('second-level PTE', '4 KiB page', { to: TARGETS[1] }, nothing),
  dma('root entry', 'P = 0', { write: 1 }, (b) => b.put(AT.root, 0, AT.context)),
  dma('root entry', 'reserved bit 1', { write: 0xa }, (b) => b.put(AT.root, 0, AT.context | 3)),
  dma('root entry', 'reserved bit 64', { write: 0xa }, (b) => b.put(AT.root + 8, 0, 1)),
  dma('root entry', 'CTP outside memory', { write: 9 }, (b) => b.put(AT.root, 0x10, 1)),
  dma('RTADDR', 'outside memory', { write: 8 }, (b) => b.setRoot(0x10_0000_0000)),
  dma('context entry', 'P = 0', { write: 2 }, (b) => b.context(0, table(4), 0x502)),
  dma('context entry', 'reserved bit 4', { write: 0xb }, (b) => b.context(0, table(4) | 0x11, 0x502)),
  dma('context entry', 'reserved bit 71', { write: 0xb }, (b) => b.context(0, table(4) | 1, 0x582)),
  dma('context entry', 'reserved bit 96', { write: 0xb }, (b) => b.put(at(8), 1, 0x502)),
  dma('context entry', 'TT = 3', { write: 3 }, (b) => b.context(0, table(4) | 0xd, 0x502)),
  dma('context entry', 'TT = 1 without device-TLB', { write: 3 }, (b) => b.context(0, table(4) | 5, 0x502)),
  dma('context entry', 'AW = 0', { write: 3 }, (b) => b.context(0, table(4) | 1, 0x500)),
  dma('context entry', 'AW = 3 without 5 levels', { write: 3 }, (b) => b.context(0, table(4) | 1, 0x503)),
  dma('context entry', 'AW = 1: 3 levels', { to: TARGETS[1] }, (b) => b.context(0, table(3) | 1, 0x501)),
  dma('context entry', 'AVAIL and high DID', { to: TARGETS[1] }, (b) => b.context(0, table(4) | 1, 0xff_ff7a)),
  dma('context entry', 'TT = 2: pass-through', { to: 0x20_1000 }, (b) => b.context(0, 9, 0x502), 0x20_1000),
  dma('context entry', 'top table outside memory', { write: 3 }, (b) => b.put(at(), 0x10, 1)),
  dma('context entry', 'address beyond AW', { write: 4 }, (b) => b.context(0, table(3) | 1, 0x501), 2 ** 39),
  dma('CAP.MGAW', 'address beyond 48 bits', { write: 4 }, nothing, 2 ** 48 + PAGE),
  dma('second-level PTE', 'R = W = 0', { write: 5, read: 6 }, (b) => b.put(PTE, 0, 0)),
  dma('second-level PTE', 'table entry not present', { write: 5, read: 6 }, (b) => b.put(table(3) + 8, 0, 0)),
  dma('second-level PTE', 'table outside memory', { write: 7 }, (b) => b.put(table(2) + 8, 0x10, 3)),
  dma('second-level PTE', 'leaf bit 11', { write: 0xc }, (b) => b.put(PTE, 0, TARGETS[1] | 0x803)),
  dma('second-level PTE', 'leaf bit 62', { write: 0xc }, (b) => b.put(PTE, 0x4000_0000, TARGETS[1] | 3)),
  dma('second-level PTE', 'leaf above HAW', { write: 0xc }, (b) => b.put(PTE, 0x1_0000, TARGETS[1] | 3)),
  dma('second-level PTE', 'ignored bits 52–61, 63', { to: TARGETS[1] }, (b) => b.put(PTE, 0xbff0_0000, TARGETS[1] | 3)),
  dma('second-level PTE', 'ignored bits 2–6, 8–10', { to: TARGETS[1] }, (b) => b.put(PTE, 0, TARGETS[1] | 0x77f)),
  dma('second-level PTE', 'PS at level 4', { write: 0xc }, (b) => b.put(table(4), 0, table(3) | 0x83)),
  dma('second-level PTE', 'bit 11 of a level-3 table entry', { write: 0xc }, (b) =>
    b.put(table(3) + 8, 0, table(2) | 0x803),
  ),
  dma('second-level PTE', '2 MiB page', { to: 0x40_1000 }, (b) => b.put(table(2) + 8, 0, 0x40_0083)),
  dma('second-level PTE', '2 MiB page, address bit 12', { write: 0xc }, (b) => b.put(table(2) + 8, 0, 0x40_1083)),
  dma('second-level PTE', '1 GiB page', { to: 0x20_1000 }, (b) => b.put(table(3) + 8, 0, 0x83)),
  dma('second-level PTE', '1 GiB page, address bit 21', { write: 0xc }, (b) => b.put(table(3) + 8, 0, 0x20_0083)),
  dma('second-level PTE', 'leads into 0xFEEx_xxxx', { write: 0xe }, (b) => b.put(PTE, 0, 0xfee0_1003)),
  {
    structure: 'second-level PTE',
    field: 'R without W',
    verdict: 'read passes, write faults 0x5',
    run: (p) => {
      p.both((b) => b.put(PTE, 0, TARGETS[1] | 1));
      expectSeen(
        p.same((b) => b.write(PAGE)),
        { landed: 'nowhere', reason: 5 },
      );
      p.both((b) => b.clearFaults());
      expectSeen(
        p.same((b) => b.read(PAGE)),
        { record: 0 },
      );
    },
  },
  {
    structure: 'second-level PTE',
    field: 'W without R',
    verdict: 'write passes, read faults 0x6',
    run: (p) => {
      p.both((b) => b.put(PTE, 0, TARGETS[1] | 2));
      expectSeen(
        p.same((b) => b.read(PAGE)),
        { reason: 6 },
      );
      p.both((b) => b.clearFaults());
      expectSeen(
        p.same((b) => b.write(PAGE)),
        { landed: '0x201000' },
      );
    },
  },
  {
    structure: 'second-level PTE',
    field: 'rights are the AND over the levels',
    verdict: 'fault 0x5',
    run: (p) => {
      p.both((b) => b.put(table(2) + 8, 0, table(1) | 1));
      expectSeen(
        p.same((b) => b.write(PAGE)),
        { landed: 'nowhere', reason: 5 },
      );
      p.both((b) => b.clearFaults());
      expectSeen(
        p.same((b) => b.read(PAGE)),
        { record: 0 },
      );
    },
  },
  {
    structure: 'context entry',
    field: 'FPD = 1',
    verdict: 'faults are not recorded',
    run: (p) => {
      p.both((b) => b.context(0, table(4) | 3, 0x502));
      expectSeen(
        p.same((b) => b.write(PAGE + 0x5000)),
        { landed: 'nowhere', record: 0 },
      );
      expectSeen(
        p.same((b) => b.write(PAGE)),
        { landed: '0x201000' },
      );
      p.both((b) => {
        b.context(0, 2, 0);
        b.command([0, 0x11]);
        b.command([0, 0x12]);
      });
      expectSeen(
        p.same((b) => b.write(PAGE)),
        { landed: 'nowhere', record: 0 },
      );
    },
  },
  {
    structure: 'GCMD',
    field: 'TE = 0',
    verdict: 'passes unchanged',
    what: 'QI',
    run: (p) =>
      expectSeen(
        p.same((b) => b.write(0x40_0000)),
        { landed: '0x400000' },
      ),
  },
];

export const FAULT_ROWS: readonly Row[] = [
  {
    structure: 'FRCD',
    field: 'a pending record of the same source',
    verdict: 'swallows its next faults',
    run: (p) => {
      p.same((b) => b.write(0x1000));
      expectSeen(
        p.same((b) => b.write(0x2000)),
        { address: '0x0_1000', fsts: 2 },
      );
    },
  },
  {
    structure: 'FSTS',
    field: 'PFO',
    verdict: 'set by a fault of another source, cleared by writing 1',
    run: (p) => {
      p.same((b) => b.write(0x1000));
      expectSeen(
        p.same((b) => b.write(0x2000, 1)),
        { sid: EDU[0], fsts: 3 },
      );
      p.both((b) => b.set(R.FRCD + 12, 0x8000_0000));
      expectSeen(
        p.same((b) => b.registers('FSTS')),
        { FSTS: 1 },
      );
      p.both((b) => b.set(R.FSTS, 1));
      expectSeen(
        p.same((b) => b.write(0x3000, 1)),
        { sid: EDU[1], fsts: 2 },
      );
    },
  },
  {
    structure: 'FECTL',
    field: 'IM, IP',
    verdict: 'pending while masked, sent on unmask',
    run: (p) => {
      p.both((b) => {
        b.set(R.FEDATA, 0x35);
        b.set(R.FEADDR, 0xfee0_1000);
      });
      p.same((b) => b.write(0x1000));
      expectSeen(
        p.same((b) => b.registers('FECTL')),
        { FECTL: 0xc000_0000 },
      );
      p.both((b) => b.set(R.FECTL, 0));
      expectSeen(
        p.same((b) => b.arrived()),
        { sent: 'vector 53 to physical 1, mode 0', irr: 'true' },
      );
      expectSeen(
        p.same((b) => b.registers('FECTL')),
        { FECTL: 0 },
      );
      p.same((b) => b.write(0x1000, 1));
      p.same((b) => b.arrived()); // PPF is already 1
    },
  },
];

export const QUEUE_ROWS: readonly Row[] = [
  {
    structure: 'wait descriptor',
    field: 'SW',
    verdict: 'status written',
    run: (p) => {
      p.both((b) => b.command([0x1234_5678, 0x25], [0, AT.status]));
      expectSeen(
        p.same((b) => ({ status: b.side.memory.read32(AT.status), ...b.registers('IQH', 'FSTS') })),
        {
          status: 0x1234_5678,
          IQH: 0x10,
          FSTS: 0,
        },
      );
    },
  },
  {
    structure: 'wait descriptor',
    field: 'IF',
    verdict: 'completion event: pending while masked, sent on unmask',
    run: (p) => {
      p.both((b) => {
        b.set(R.IEDATA, 0x36);
        b.set(R.IEADDR, 0xfee0_0000);
        b.command([0, 0x15]);
      });
      expectSeen(
        p.same((b) => b.registers('ICS', 'IECTL')),
        { ICS: 1, IECTL: 0xc000_0000 },
      );
      p.both((b) => b.set(R.IECTL, 0));
      expectSeen(
        p.same((b) => b.arrived()),
        { sent: 'vector 54 to physical 0, mode 0' },
      );
      p.both((b) => b.set(R.ICS, 1));
      expectSeen(
        p.same((b) => b.registers('ICS', 'IECTL')),
        { ICS: 0, IECTL: 0 },
      );
    },
  },
  ...(
    [
      ['unknown type', [0, 0xf], [0, 0]],
      ['context cache: reserved bit 50', [0x4_0000, 0x11], [0, 0]],
      ['context cache: G = 0', [0, 0x01], [0, 0]],
      ['IOTLB: reserved bit 71', [0, 0x12], [0, 0x80]],
      ['IOTLB: G = 0', [0, 0x02], [0, 0]],
      ['IOTLB: AM beyond MAMV', [0, 0x5_0032], [0, 19]],
      ['wait: reserved bit 7', [0, 0xa5], [0, AT.status]],
    ] as const
  ).map(
    ([field, q0, q1]): Row => ({
      structure: 'invalidation descriptor',
      field,
      verdict: 'IQE, and recovery',
      run: (p) => {
        p.both((b) => b.command(q0, q1));
        expectSeen(
          p.same((b) => b.registers('FSTS', 'IQH')),
          { FSTS: 0x10, IQH: 0 },
        );
        // The next command waits until the error is cleared.
        p.both((b) => b.command([7, 0x25], [0, AT.status]));
        expectSeen(
          p.same((b) => ({ status: b.side.memory.read32(AT.status), ...b.registers('IQH') })),
          { status: 0, IQH: 0 },
        );
        p.both((b) => {
          b.put(AT.queue, 9, 0x25);
          b.put(AT.queue + 8, 0, AT.status + 4);
          b.set(R.FSTS, 0x10);
          b.set64(R.IQT, 0, 0x20); // QEMU goes on with the next doorbell
        });
        const read = (o: number) => (b: Bench) => ({ status: b.side.memory.read32(AT.status + o) });
        expectSeen(p.same(read(4)), { status: 9 });
        expectSeen(p.same(read(0)), { status: 7 });
        expectSeen(
          p.same((b) => b.registers('FSTS', 'IQH')),
          { FSTS: 0, IQH: 0x20 },
        );
      },
    }),
  ),
  {
    structure: 'IQT',
    field: 'beyond the queue',
    verdict: 'IQE',
    run: (p) => {
      p.both((b) => b.set64(R.IQT, 0, 0x1000));
      expectSeen(
        p.same((b) => b.registers('FSTS', 'IQH')),
        { FSTS: 0x10, IQH: 0 },
      );
    },
  },
  ...(
    [
      ['global', [0, 0x12], [0, 0], true],
      ['domain', [0, 0x5_0022], [0, 0], true],
      ['another domain', [0, 0x6_0022], [0, 0], false],
      ['page', [0, 0x5_0032], [0, PAGE], true],
      ['another page', [0, 0x5_0032], [0, PAGE + 0x1000], false],
      ['16 pages around it', [0, 0x5_0032], [0, 0x4020_0004], true],
      ['16 pages above it', [0, 0x5_0032], [0, 0x4021_0004], false],
    ] as const
  ).map(
    ([field, q0, q1, reached]): Row => ({
      structure: 'IOTLB',
      field,
      verdict: reached ? 'a stale entry goes' : 'a stale entry stays',
      run: (p) => {
        p.same((b) => b.write(PAGE));
        p.both((b) => b.put(PTE, 0, TARGETS[2] | 3));
        expectSeen(
          p.same((b) => b.write(PAGE)),
          { landed: '0x201000' },
        );
        p.both((b) => b.command(q0, q1));
        expectSeen(
          p.same((b) => b.write(PAGE)),
          { landed: reached ? '0x400000' : '0x201000' },
        );
      },
    }),
  ),
  ...(
    [
      ['global', [0, 0x11], true],
      ['domain', [0, 0x5_0021], true],
      ['device', [EDU[0], 0x5_0031], true],
      ['another device', [EDU[1], 0x5_0031], false],
    ] as const
  ).map(
    ([field, q0, reached]): Row => ({
      structure: 'context cache',
      field,
      verdict: reached ? 'a stale entry goes' : 'a stale entry stays',
      run: (p) => {
        p.same((b) => b.write(PAGE));
        p.both((b) => {
          b.put(table(1, 1) + 8, 0, TARGETS[3] | 3);
          b.context(0, table(4, 1) | 1, 0x702);
        });
        expectSeen(
          p.same((b) => b.write(PAGE)),
          { landed: '0x201000' },
        );
        p.both((b) => {
          b.command(q0);
          b.command([0, 0x5_0022]); // what was cached through the old entry (§6.2.2.1)
        });
        expectSeen(
          p.same((b) => b.write(PAGE)),
          { landed: reached ? '0x405000' : '0x201000' },
        );
      },
    }),
  ),
  {
    structure: 'CCMD',
    field: 'device',
    verdict: 'CAIG says device; the entry goes',
    what: 'TE',
    run: (p) => {
      p.same((b) => b.write(PAGE));
      p.both((b) => {
        b.put(table(1, 1) + 8, 0, TARGETS[3] | 3);
        b.context(0, table(4, 1) | 1, 0x702);
        b.set64(R.CCMD, 0xe000_0000, (EDU[0] << 16) | 5);
      });
      p.both((b) => b.set64(R.IOTLB, 0xa000_0005, 0));
      p.same((b) => ({ CAIG: (b.get(R.CCMD + 4) >>> 27) & 3, ICC: b.get(R.CCMD + 4) >>> 31 }));
      expectSeen(
        p.same((b) => b.write(PAGE)),
        { landed: '0x405000' },
      );
    },
  },
  {
    structure: 'IOTLB register',
    field: 'page',
    verdict: 'IAIG says page; the entry goes',
    what: 'TE',
    run: (p) => {
      p.same((b) => b.write(PAGE));
      p.both((b) => {
        b.put(PTE, 0, TARGETS[2] | 3);
        b.set64(R.IVA, 0, PAGE);
        b.set64(R.IOTLB, 0xb000_0005, 0);
      });
      p.same((b) => ({ IAIG: (b.get(R.IOTLB + 4) >>> 25) & 3, IVT: b.get(R.IOTLB + 4) >>> 31 }));
      expectSeen(
        p.same((b) => b.write(PAGE)),
        { landed: '0x400000' },
      );
    },
  },
];

/** IRTE 3 and one message by it. `outcome`: what is sent, or the reason. */
const irte = (
  field: string,
  lo: readonly [number, number],
  hi: readonly [number, number],
  outcome: string | number,
  message: readonly [number, number] = [MSI | (3 << 5), 0],
  device = 0,
): Row => ({
  structure: 'IRTE',
  field,
  verdict: typeof outcome === 'string' ? 'delivered' : `blocked 0x${outcome.toString(16)}`,
  run: (p) => {
    p.both((b) => b.irte(3, lo, hi));
    const seen = p.same((b) => b.msi(...message, device), { irte: [lo, hi], sid: EDU[device]!, message });
    expectSeen(seen, typeof outcome === 'string' ? { sent: outcome, record: 0 } : { sent: 'nothing', reason: outcome });
  },
});
const SID_0 = [0, 0x0004_0028] as const;

export const INTERRUPT_ROWS: readonly Row[] = [
  irte('physical, fixed', [0x100, 0x0040_0001], SID_0, 'vector 64 to physical 1, mode 0'),
  irte('logical', [0x300, 0x0041_0005], SID_0, 'vector 65 to logical 3, mode 0'),
  irte('lowest priority with RH', [0x300, 0x0042_002d], SID_0, 'vector 66 to logical 3, mode 1'),
  irte('sub-handle', [0x000, 0x0043_0001], SID_0, 'vector 67 to physical 0, mode 0', [MSI | (1 << 5) | 8, 2]),
  irte('AVAIL', [0x000, 0x0044_0f01], SID_0, 'vector 68 to physical 0, mode 0'),
  irte('the request’s own vector is not used', [0, 0x0045_0001], SID_0, 'vector 69 to physical 0, mode 0', [
    MSI | (3 << 5),
    0x99,
  ]),
  irte('SVT = 0', [0, 0x0046_0001], [0, 0x99], 'vector 70 to physical 0, mode 0'),
  irte('SQ = 3 ignores the function', [0, 0x0047_0001], [0, 0x0007_002f], 'vector 71 to physical 0, mode 0'),
  irte('SVT = 2: one bus', [0, 0x0048_0001], [0, 0x0008_0000], 'vector 72 to physical 0, mode 0'),
  irte('SVT = 2: buses 0 to 5', [0, 0x0049_0001], [0, 0x0008_0005], 'vector 73 to physical 0, mode 0'),
  irte('P = 0', [0x100, 0x0050_0000], SID_0, 0x22),
  irte('reserved bit 24', [0x100, 0x0151_0001], SID_0, 0x24),
  irte('reserved bit 84', [0x100, 0x0052_0001], [0, 0x0014_0028], 0x24),
  irte('IM = 1 without posting', [0x100, 0x0053_8001], SID_0, 0x24),
  irte('reserved destination bits', [0x101, 0x0054_0001], SID_0, 0x24),
  irte('SID of another function', [0x100, 0x0055_0001], SID_0, 0x26, [MSI | (3 << 5), 0], 1),
  irte('SQ = 1 keeps bit 3', [0x100, 0x0056_0001], [0, 0x0005_0020], 0x26),
  irte('SVT = 2: buses 1 to 5', [0x100, 0x0057_0001], [0, 0x0008_0105], 0x26),
  irte('SVT = 3', [0x100, 0x0058_0001], [0, 0x000c_0028], 0x26),
  irte('index = size', [0, 0], [0, 0], 0x21, [MSI | (256 << 5), 0]),
  irte('FPD with P = 0', [0, 2], [0, 0], 'nothing'),
  {
    structure: 'interrupt request',
    field: 'compatibility format, CFIS = 0',
    verdict: 'blocked 0x25',
    run: (p) =>
      expectSeen(
        p.same((b) => b.msi(0xfee0_0000, 0x60), { message: [0xfee0_0000, 0x60] }),
        { sent: 'nothing', reason: 0x25 },
      ),
  },
  {
    structure: 'interrupt request',
    field: 'compatibility format, CFIS = 1',
    verdict: 'delivered',
    run: (p) => {
      p.both((b) => b.control(0x80_0000, true));
      p.same((b) => b.registers('GSTS'));
      expectSeen(
        p.same((b) => b.msi(0xfee0_1000, 0x61)),
        { sent: 'vector 97 to physical 1, mode 0' },
      );
    },
  },
  {
    structure: 'interrupt request',
    field: 'IRES = 0',
    verdict: 'passes unchanged',
    what: 'TE+QI',
    run: (p) =>
      expectSeen(
        p.same((b) => b.msi(0xfee0_1000, 0x62)),
        { sent: 'vector 98 to physical 1, mode 0' },
      ),
  },
];

export const ROWS: readonly Row[] = [...DMA_ROWS, ...FAULT_ROWS, ...QUEUE_ROWS, ...INTERRUPT_ROWS];
export const nameOf = (r: Row): string => `${r.structure}: ${r.field}: ${r.verdict}`;
