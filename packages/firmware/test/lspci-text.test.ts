import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { describeMachine } from '@doorbell/firmware';
import { describeFiles, filesNamed, needs, shortName } from './support/shared.js';

/** Functions of real dumps, from their bytes, against what lspci itself wrote beside them. */
const ready = needs('dumps against their decoded text', null);

interface Said {
  bdf: string;
  msi: number;
  msix: number;
  /** The text lists capabilities, so one that it does not name is not there. */
  lists: boolean;
  id: string | null;
  class: string | null;
}

/** The words of a dump; a second reader, for -v and -nn output. */
function read(text: string): Said[] {
  const out: Said[] = [];
  for (const line of text.split('\n')) {
    const head = /^((?:[0-9a-f]{4,}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) (.*)$/.exec(line);
    if (head) {
      const bdf = head[1]!.length > 7 ? head[1]! : `0000:${head[1]}`;
      const nn = /\[([0-9a-f]{4})\].*\[([0-9a-f]{4}:[0-9a-f]{4})\]/.exec(head[2]!);
      const n = /^(?:Class )?([0-9a-f]{4}): ([0-9a-f]{4}:[0-9a-f]{4})/.exec(head[2]!);
      const both = nn ?? n;
      out.push({ bdf, msi: 0, msix: 0, lists: false, class: both?.[1] ?? null, id: both?.[2] ?? null });
    }
    const d = out.at(-1);
    if (!d) continue;
    if (/^\s+Capabilities: \[/.test(line)) d.lists = true;
    const msix = /Capabilities: \[[0-9a-f]+\] MSI-X:.* (?:Count|TabSize)=(\d+)/.exec(line);
    if (msix) d.msix = Number(msix[1]);
    const msi = /Capabilities: \[[0-9a-f]+\] (?:MSI|Message Signalled Interrupts):.* (?:Count|Queue)=\d+\/(\d+)/.exec(
      line,
    );
    if (msi) d.msi = Number(msi[1]);
  }
  return out;
}

describe.skipIf(!ready)('lspci dumps as lspci reads them', () => {
  it('every function has its number, ids and vector counts', () => {
    let functions = 0;
    let vectors = 0;
    for (const path of [...filesNamed(/^pci\.txt$/), ...filesNamed(/\.txt$/).filter((f) => f.includes('/lspci/'))]) {
      const said = read(readFileSync(path, 'latin1'));
      const devices = describeFiles(path).devices!;
      expect(
        devices.map((d) => d.bdf),
        path,
      ).toEqual(said.map((s) => s.bdf));
      for (const s of said) {
        const d = devices.find((x) => x.bdf === s.bdf)!;
        functions++;
        if (s.id !== null)
          expect({ id: d.id, class: d.class }, `${path} ${s.bdf}`).toEqual({ id: s.id, class: s.class });
        if (!s.lists) continue;
        vectors++;
        expect({ msi: d.msi, msix: d.msix }, `${shortName(path)} ${s.bdf}`).toEqual({ msi: s.msi, msix: s.msix });
      }
    }
    console.info(`lspci: ${functions} functions, of ${vectors} the text lists capabilities`);
    expect(vectors).toBeGreaterThan(20);
  });
});

describe('dumps without bytes', () => {
  it('know vectors where the text lists capabilities, and say null where it may not', () => {
    const text = [
      '00:1f.2 SATA controller [0106]: Intel [8086:1c02] (rev 05)',
      '\tCapabilities: [80] MSI: Enable+ Count=1/4 Maskable- 64bit-',
      '00:1f.3 SMBus [0c05]: Intel [8086:1c22] (rev 05)',
      '\tCapabilities: <access denied>',
      '10000:e0:06.0 PCI bridge [0604]: Intel Corporation [8086:9a09]',
      '\tCapabilities: [40] Express Root Port (Slot+), MSI 00',
      '',
      '',
    ].join('\n');
    const d = describeMachine([{ name: 'pci.txt', bytes: Uint8Array.from(Buffer.from(text)) }]);
    expect(d.devices).toEqual([
      { bdf: '0000:00:1f.2', id: '8086:1c02', class: '0106', msi: 4, msix: 0 },
      { bdf: '0000:00:1f.3', id: '8086:1c22', class: '0c05', msi: null, msix: null },
      { bdf: '10000:e0:06.0', id: '8086:9a09', class: '0604', msi: 0, msix: 0 },
    ]);
    expect(d.groups).toBeNull();
    expect(d.findings.map((f) => f.code)).toContain('PCI_GROUPS_UNKNOWN');
  });
});
