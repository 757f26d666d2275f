import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Findings, readDump, readFacts } from '@doorbell/firmware';
import { Platform } from '@doorbell/platform';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { functionsFromDump, PCI, PCI_HARDWARE, pciHost, type Dumped } from '../src/index.js';
import { testRoot, type DoorbellModel } from './root.js';

const shared = process.env['DOORBELL_SHARED'] ?? fileURLToPath(new URL('../../../../shared', import.meta.url));
const folder = `${shared}/machines/lspci`;
const captures = ['x86-vtd-nvme', 'x86-amdvi-nvme', 'arm-smmuv3-its-nvme'].map(
  (c) => `${shared}/captures/${c}/pci.txt`,
);
const there = existsSync(folder);
if (!there) console.warn(`skipped: dumps of real machines: no ${folder}`);

/** The platform that a dump's segment describes: one host bridge per root bus. */
function platformOf(dumped: readonly Dumped[]) {
  const { roots, leftOut } = functionsFromDump(dumped);
  const { plugin } = testRoot(0xfee0_0000, 65536);
  const firsts = roots.map((r) => r.firstBus);
  const hosts = roots.map(({ firstBus, functions }, i) =>
    pciHost(
      {
        name: `pci${firstBus}`,
        ecam: { base: 0x10_0000_0000 + firstBus * 2 ** 20, buses: (firsts[i + 1] ?? 256) - firstBus, firstBus },
        windows: [{ base: 0x8000_0000 + i * 2 ** 26, size: 2 ** 26 }],
      },
      functions,
    ),
  );
  const platform = new Platform({ memory: [{ base: 0, size: 2 ** 26 }] }).use(plugin, ...hosts).compose();
  return { platform, leftOut };
}

describe.skipIf(!there)('dumps of real machines', () => {
  it('become functions with the same numbers, ids and messages, and each message arrives', () => {
    const files = [...readdirSync(folder).map((f) => `${folder}/${f}`), ...captures.filter(existsSync)];
    const total = { dumps: 0, functions: 0, leftOut: 0, messages: 0, renumbered: 0 };
    for (const file of files) {
      const functions = readDump(file, readFileSync(file), new Findings()).filter((f) => f.config.length >= 64);
      if (functions.length === 0) continue;
      total.dumps++;
      const deep = functions.some((f) => f.config.length > 256);
      for (const domain of new Set(functions.map((f) => f.domain))) {
        const dumped = functions
          .filter((f) => f.domain === domain)
          .map((f) => ({ requester: (f.bus << 8) | (f.device << 3) | f.function, config: f.config }));
        const { platform, leftOut } = platformOf(dumped);
        total.leftOut += leftOut.length;
        const pci = platform.service(PCI);
        expect(pci.functions.length, file).toBe(dumped.length - leftOut.length);
        for (const f of functions.filter((x) => x.domain === domain)) {
          const requester = (f.bus << 8) | (f.device << 3) | f.function;
          if (leftOut.some((l) => l.requester === requester)) continue;
          const d = pci.find(requester);
          if (!d) {
            total.renumbered++;
            continue;
          }
          total.functions++;
          const facts = readFacts(f, deep);
          const id = `${d.vendor.toString(16).padStart(4, '0')}:${d.deviceId.toString(16).padStart(4, '0')}`;
          expect(id, `${file} ${f.bdf}`).toBe(facts.id);
          expect([d.msiVectors, d.msixVectors], `${file} ${f.bdf}`).toEqual([facts.msi ?? 0, facts.msix ?? 0]);
          if (facts.pcieType !== null) expect(d.pcieType, `${file} ${f.bdf}`).toBe(facts.pcieType);
          if (d.msiVectors + d.msixVectors === 0) continue;
          const v = pci.allocateVectors(d, { min: 1, max: 4 });
          const doorbell = platform.model('root0') as unknown as DoorbellModel;
          const before = doorbell.writes.length;
          platform.hardwareService(PCI_HARDWARE).host(0, d.bus)!.find(requester)!.fire(0);
          expect(doorbell.writes.length, `${file} ${f.bdf}`).toBe(before + 1);
          expect(doorbell.writes.at(-1)).toMatchObject({ value: v.message(0).data, source: d.aliases.at(-1) });
          total.messages++;
          v.free();
        }
        platform.dispose();
      }
    }
    console.info('dumps', total);
    expect(total.messages).toBeGreaterThan(50);
  });
});

describe('a damaged dump', () => {
  it('never throws anything but BAD_FUNCTION', () => {
    const config = fc.uint8Array({ minLength: 0, maxLength: 300 });
    fc.assert(
      fc.property(
        fc.array(fc.record({ requester: fc.integer({ min: 0, max: 0x3ff }), config }), { maxLength: 6 }),
        (dumped) => {
          try {
            functionsFromDump(dumped);
          } catch (error) {
            expect(error).toMatchObject({ code: 'BAD_FUNCTION' });
          }
        },
      ),
    );
  });
});
