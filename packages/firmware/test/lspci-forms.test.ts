import { describe, expect, it } from 'vitest';
import { describeMachine, type MachineDescription } from '@doorbell/firmware';
import * as s from './support/small.js';

const read = (text: string): MachineDescription => describeMachine([s.file('pci.txt', s.dump(text))]);
const codes = (m: MachineDescription): string[] => m.findings.map((f) => f.code);
const bytes = s.dumpOf('00:04.0', {});
const LIST = '00:04.0 Disk [0108]: Maker [1b36:0010]\n00:05.0 Net [0200]: Maker [8086:10d3]\n';

describe('listings as people paste them', () => {
  it('a list of one line each needs no empty line at its end', () => {
    const m = read(LIST);
    expect(m.devices).toHaveLength(2);
    expect(codes(m)).not.toContain('LSPCI_NO_FINAL_BLANK');
  });

  it('a list and a dump of the same functions are one machine: ids of the one, bytes of the other, in either order', () => {
    for (const text of [LIST + '\n' + bytes, bytes + LIST]) {
      const m = read(text);
      expect(m.devices!.map((d) => [d.bdf, d.msi])).toContainEqual(['0000:00:04.0', 0]);
      expect(m.devices).toHaveLength(2);
      expect(codes(m)).not.toContain('PCI_FUNCTION_TWICE');
    }
    // Bytes twice are two times or two machines.
    expect(codes(read(bytes + bytes))).toContain('PCI_FUNCTION_TWICE');
  });

  it('a byte order mark, CRLF, indentation and quotation marks are no part of it', () => {
    const want = read(bytes).devices;
    const margin = (m: string): string => bytes.replace(/^(?=.)/gm, m);
    for (const text of ['\ufeff' + bytes, bytes.replaceAll('\n', '\r\n'), margin('    '), margin('> ')]) {
      const m = read(text);
      expect(m.devices).toEqual(want);
      expect(codes(m).filter((c) => /^LSPCI/.test(c))).toEqual(codes(read(bytes)).filter((c) => /^LSPCI/.test(c)));
    }
  });

  it('buses of a bridge are known by its text, and paths lead through it', () => {
    const bridge =
      '00:1c.0 PCI bridge [0604]: Maker [8086:a110]\n\tBus: primary=00, secondary=02, subordinate=04, sec-latency=0\n\n';
    const below = '02:00.0 Disk [0108]: Maker [1b36:0010]\n\n';
    const table = s.dmar(1, s.drhd(0xfed90000, 0, s.scope(1, 0, 0, [0x1c, 0], [0, 0])));
    const m = describeMachine([s.file('DMAR.dat', table), s.file('pci.txt', s.dump(bridge, below))]);
    expect(codes(m)).not.toContain('PCI_BRIDGE_MISSING');
    expect(m.iommus[0]!.scopes[0]!.bdf).toBe('0000:02:00.0');
  });
});
