import { EXEC, PRIVILEGED, READ, TRANSLATED, TRANSLATION_REQUEST, Verdict, WRITE } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { AT, hex, PAGE, RAM, Raw } from './raw.js';

/** Every record word for word (IHI 0070 §7.3): w0 id, SSV, SSID; w1 SID; w3 PnU, InD, RnW, CLASS; w5:w4 input; w7:w6 fetch address. */
const record = (w0: number, w3 = 0, address = 0n, fetch = 0, sid = 8): string[] => [
  hex(w0),
  hex(sid),
  '0x0',
  hex(w3),
  hex(Number(address & 0xffff_ffffn)),
  hex(Number(address >> 32n)),
  hex(fetch),
  '0x0',
];
const RNW = 8;
const IN = 2 << 8;
const TT = 1 << 8;

const rows: [string, (r: Raw) => unknown, string[][]][] = [
  ['C_BAD_STREAMID beyond LOG2SIZE', (r) => r.ask(0, { sid: 64 }), [record(0x02, 0, 0n, 0, 64)]],
  [
    'F_STE_FETCH outside memory',
    (r) => (r.write(0x20, 0xc), r.platform.bus.write64(0x0905_0080, 0, 0x1000), r.write(0x20, 0xd), r.ask(4)),
    [record(0x03, 0, 0n, 0x1000 + 64 * 8)],
  ],
  ['C_BAD_STE with V = 0', (r) => (r.ste(8, { V: 0 }), r.ask(4)), [record(0x04)]],
  ['nothing for Config = 0xx', (r) => (r.ste(8, { Config: 0 }), r.ask(4)), []],
  [
    'F_TRANSL_FORBIDDEN for a translated request',
    (r) => r.ask(0x1_2345_6789n, { kind: TRANSLATED }),
    [record(0x07, RNW, 0x1_2345_6789n)],
  ],
  [
    'F_BAD_ATS_TREQ for a translation request: what was asked in w2, address 63:12',
    (r) => r.ask(0x1_2345_6789n, { kind: TRANSLATION_REQUEST, access: READ | WRITE }),
    [['0x5', '0x8', '0xc0000000', '0x0', '0x23456000', '0x1', '0x0', '0x0']],
  ],
  ['F_CD_FETCH outside memory', (r) => (r.ste(8, { S1ContextPtr: 0x2000 }), r.ask(4)), [record(0x09, 0, 0n, 0x2000)]],
  ['C_BAD_CD with V = 0', (r) => (r.cd({ V: 0 }), r.ask(4)), [record(0x0a)]],
  [
    'F_WALK_EABT outside memory',
    (r) => (r.cd({ TTB0: 0x3000 }), r.ask(0x80_0000_1004n, { access: WRITE })),
    [record(0x0b, TT, 0x80_0000_1004n, 0x3008)],
  ],
  [
    'F_TRANSLATION, CLASS = IN at every level',
    (r) => (r.map(0x1000, 0), r.ask(0x1004), r.ask(0x20_0000), r.ask(0x4000_0000), r.ask(0x80_0000_0000n)),
    [
      record(0x10, IN | RNW, 0x1004n),
      record(0x10, IN | RNW, 0x20_0000n),
      record(0x10, IN | RNW, 0x4000_0000n),
      record(0x10, IN | RNW, 0x80_0000_0000n),
    ],
  ],
  [
    'F_TRANSLATION above the input size, bits 63:48 as they came',
    (r) => r.ask(0xff00_0000_0000_0abcn),
    [record(0x10, IN | RNW, 0xff00_0000_0000_0abcn)],
  ],
  [
    'F_ADDR_SIZE of a leaf beyond IPS',
    (r) => (r.cd({ IPS: 0 }), r.map(0x1000, PAGE, 1), r.ask(0x1000, { access: WRITE })),
    [record(0x11, IN, 0x1000n)],
  ],
  [
    'F_ACCESS with AF = 0',
    (r) => (r.map(0x1000, AT.page | (PAGE & ~0x400)), r.ask(0x1000)),
    [record(0x12, IN | RNW, 0x1000n)],
  ],
  [
    'F_PERMISSION of a privileged fetch: PnU, InD',
    (r) => (r.map(0x1000, AT.page | PAGE, 1 << 21), r.ask(0x1000, { access: READ | EXEC | PRIVILEGED })),
    [record(0x13, IN | RNW | 4 | 2, 0x1000n)],
  ],
  [
    'F_PERMISSION of a write: InD is 0',
    (r) => (r.map(0x1000, AT.page | PAGE | 0x80), r.ask(0x1000, { access: WRITE })),
    [record(0x13, IN, 0x1000n)],
  ],
  ['no translation record with CD.R = 0', (r) => (r.cd({ R: 0 }), r.ask(0x1000)), []],
];

describe('event records', () => {
  it.each(rows)('%s', (_name, provoke, expected) => {
    const r = new Raw().start();
    provoke(r);
    expect(r.events()).toEqual(expected);
  });

  it('C_BAD_STREAMID is recorded with RECINVSID = 1 only', () => {
    const r = new Raw().start({ cr2: 0 });
    expect(r.ask(0, { sid: 64 })).toMatchObject({ verdict: Verdict.fault, recorded: false });
    expect(r.events()).toEqual([]);
  });

  it('carries SSIDs: SSV, but not for C_BAD_SUBSTREAMID; F_STREAM_DISABLED has neither', () => {
    const r = new Raw({ ssidBits: 4 }).start();
    r.ste(8, { S1CDMax: 2, S1DSS: 0 });
    r.ask(0x1000);
    r.ask(0x1000, { pasid: 4 });
    r.ask(0x1000, { pasid: 3 }); // CD 3 is zero
    r.cd({}, AT.cd + 64 * 2);
    r.ask(0x1000, { pasid: 2 });
    expect(r.events()).toEqual([
      record(0x06),
      record(0x08 | (4 << 12)),
      record(0x0a | (3 << 12) | 0x800),
      record(0x10 | (2 << 12) | 0x800, IN | RNW, 0x1000n),
    ]);
  });

  it('a full queue drops the record and toggles OVFLG once', () => {
    const r = new Raw().start({ events: 1 });
    for (let i = 0; i < 5; i++) r.ask(0x1000 * i);
    expect(hex(r.read(0x100a8))).toBe('0x80000002');
    r.write(0x100ac, 0x8000_0002);
    r.ask(0x9000);
    expect(hex(r.read(0x100a8))).toBe('0x80000003');
    expect(r.read(0x60)).toBe(0); // no GERROR
  });

  it('a queue outside memory is GERROR.EVENTQ_ABT_ERR, and its wire', () => {
    const r = new Raw().start();
    r.write(0x20, 0x9);
    r.platform.bus.write64(0x0905_00a0, 0, 0x1004);
    r.write(0x20, 0xd);
    r.ask(0x1000);
    expect([hex(r.read(0x60)), r.pulses]).toEqual(['0x4', [109]]);
    r.ask(0x1000); // active already: no second toggle
    expect(hex(r.read(0x60))).toBe('0x4');
    r.write(0x64, 4);
    r.ask(0x1000);
    expect(hex(r.read(0x60))).toBe('0x0');
  });

  it('pulses the event wire when the queue was empty, or sends its MSI', () => {
    const r = new Raw({ msi: true }).start();
    r.ask(0x1000);
    r.ask(0x1000);
    expect(r.pulses).toEqual([106]);
    r.write(0x50, 0);
    r.platform.bus.write64(0x0905_00b0, 0, RAM + 0x40);
    r.write(0xb8, 0xabcd);
    r.write(0x50, 5);
    r.events();
    r.ask(0x1000);
    expect(r.platform.memoryModel.read32(RAM + 0x40)).toBe(0xabcd);
    expect(r.pulses).toEqual([106]);
  });
});
