import { after, immediate, seeded } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { AT, hex, RAM, Raw } from './raw.js';

const SYNC = [0x46];
const illegal: [string, readonly number[]][] = [
  ['opcode 0', [0]],
  ['an unknown opcode', [0x7f]],
  ['CFGI_STE with SSec', [0x03 | (1 << 10), 8]],
  ['PREFETCH_CONFIG with SSec', [0x01 | (1 << 10), 8]],
  ['TLBI_S12_VMALL without stage 2', [0x28]],
  ['TLBI_S2_IPA without stage 2', [0x2a]],
  ['TLBI_EL2_ALL without HYP', [0x20]],
  ['TLBI_EL3_ALL', [0x18]],
  ['a secure TLBI', [0x60]],
  ['ATC_INV without ATS', [0x40]],
  ['PRI_RESP without PRI', [0x41]],
  ['RESUME with STALL_MODEL 1', [0x44]],
  ['STALL_TERM with STALL_MODEL 1', [0x45]],
  ['CFGI_VMS_PIDM without MPAM', [0x07]],
  ['SYNC with CS = 3', [0x46 | (3 << 12)]],
  ['a range TLBI with TG ≠ 0 and NUM = SCALE = TTL = 0', [0x12, 0, 1 << 10]],
];

describe.each([immediate(), after(2), seeded(3)])('command queue, $name', (policy) => {
  it.each(illegal)('CERROR_ILL for %s; the queue stops on it and goes on when it is mended', (_n, command) => {
    const r = new Raw({}, policy).start();
    r.platform.clock.settle();
    r.command(SYNC, command, [0x46 | (1 << 12)]);
    r.platform.clock.settle();
    expect([hex(r.read(0x9c)), hex(r.read(0x60)), r.pulses]).toEqual(['0x1000001', '0x1', [109]]);
    r.platform.memoryModel.write32(AT.cmdq + 16, 0x46);
    for (let i = 1; i < 4; i++) r.platform.memoryModel.write32(AT.cmdq + 16 + 4 * i, 0);
    r.write(0x64, 1);
    r.platform.clock.settle();
    expect([hex(r.read(0x9c)), r.pulses]).toEqual(['0x1000003', [109, 108]]); // ERR keeps its value
  });
});

describe('command queue', () => {
  it('is CERROR_ABT outside memory', () => {
    const r = new Raw().start();
    r.write(0x20, 0x5);
    r.platform.bus.write64(0x0905_0090, 0, 0x2004);
    r.write(0x20, 0xd);
    r.command(SYNC);
    expect(hex(r.read(0x9c))).toBe('0x2000000');
  });

  it('wraps, with the wrap bit above the index', () => {
    const r = new Raw().start();
    for (let i = 0; i < 37; i++) r.command(SYNC);
    expect(r.read(0x9c)).toBe(37 & 31);
  });

  it('SYNC writes its message where IDR0.MSI = 1 and pulses the wire', () => {
    const r = new Raw({ msi: true }).start();
    r.command([0x46 | (1 << 12), 0x1234, RAM + 0x80]);
    expect([r.platform.memoryModel.read32(RAM + 0x80), r.pulses]).toEqual([0x1234, [108]]);
    r.command([0x46 | (1 << 12), 0x1234, 0x5000]); // nothing there
    expect(hex(r.read(0x60))).toBe('0x10'); // MSI_CMDQ_ABT_ERR
    r.command(SYNC);
    expect(r.read(0x9c)).toBe(3);
  });

  it('holds base registers while they are in use', () => {
    const r = new Raw().start();
    r.platform.bus.write64(0x0905_0080, 0, 0);
    r.platform.bus.write64(0x0905_0090, 0, 0);
    r.platform.bus.write64(0x0905_00a0, 0, 0);
    expect([r.read(0x80), r.read(0x90), r.read(0xa0)]).toEqual([AT.strtab, AT.cmdq | 4, AT.eventq | 4]);
    expect(r.platform.diagnostics.entries().length).toBeGreaterThan(0);
  });

  it('GBPA: passes by default, aborts silently when told so by a write with UPDATE', () => {
    const r = new Raw();
    expect(r.ask(0x1234)).toMatchObject({ verdict: 1, pa: 0x1234 });
    r.write(0x44, 0x10_0000);
    expect(r.ask(0x1234).verdict).toBe(1);
    r.write(0x44, 0x8010_0000);
    expect([r.read(0x44), r.ask(0x1234).fault]).toEqual([0x10_0000, 'GBPA_ABORT']);
  });
});
