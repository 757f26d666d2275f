import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunReport } from '../src/run/one.js';

const BIN = fileURLToPath(new URL('../bin/doorbell.js', import.meta.url));
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const SHARED = process.env['DOORBELL_SHARED'] ?? join(ROOT, '../shared');
const CONFIG = join(ROOT, 'doorbell.config.js');

interface Ran {
  readonly code: number | null;
  readonly reports: RunReport[];
  readonly err: string;
}

/** Runs the built command; `npm test` builds first. */
function run(...args: string[]): Ran {
  const r = spawnSync(process.execPath, [BIN, 'run', '--json', '--config', CONFIG, ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  const reports = r.stdout.split('\n').flatMap((l) => (l === '' ? [] : [JSON.parse(l) as RunReport]));
  return { code: r.status, reports, err: r.stderr };
}

const vectorsOf = (r: RunReport) => r.functions.flatMap((f) => f.msi?.vectors ?? []);
const codes = (r: RunReport): string[] => [...new Set(r.failures.map((f) => f.code))].sort();

describe('the machines that come with the examples', () => {
  const machine = (name: string): string => join(ROOT, 'examples/machines', name);

  it('q35-vtd: every vector of every function arrives where its IRTE says', () => {
    const { code, reports } = run(machine('q35-vtd'));
    expect(code).toBe(0);
    const report = reports[0]!;
    expect(report.kinds).toEqual(['intel-vtd']);
    expect(report.functions.map((f) => f.bdf)).toContain('0000:00:04.0');
    expect(report.failures).toEqual([]);
    for (const f of report.functions) {
      expect(f.window).toEqual({ base: '0xfee00000', size: 0x10_0000, kind: 'fixed' });
      expect(f.msi!.vectors).toHaveLength(f.msi!.offered);
      for (const v of f.msi!.vectors) {
        // VT-d §5.1.2.2: 0xFEE in bits 31:20, bit 4 says remappable.
        expect(Number(v.address) >>> 20).toBe(0xfee);
        expect(Number(v.address) & 0x10).toBe(0x10);
        expect(v.masked).toBe(false);
        expect(v.delivered).toMatchObject({ controller: 'apic', deliveryMode: 'fixed', triggerMode: 'edge' });
        expect(v.route.map((h) => h.at)).toContain('dmar0');
      }
    }
  });

  it('virt-smmuv3: the same functions hold an IOVA in the window, and the ITS delivers', () => {
    const { code, reports } = run(machine('virt-smmuv3'), '--window', '0x9000000+0x10000');
    expect(code).toBe(0);
    for (const f of reports[0]!.functions) {
      expect(f.window).toEqual({ base: '0x9000000', size: 0x10000, kind: 'software' });
      for (const [i, v] of f.msi!.vectors.entries()) {
        expect([v.address, v.data]).toEqual(['0x9000040', `0x${i.toString(16)}`]);
        expect(v.delivered).toMatchObject({
          controller: 'gicv3-its',
          deviceId: f.requesterId,
          eventId: i,
          enabled: true,
        });
      }
    }
  });

  it('qoriq-pamu: an IOVA in the window of each LIODN, and the MPIC delivers', () => {
    const { code, reports } = run(machine('qoriq-pamu'));
    expect(code).toBe(0);
    const behind = reports[0]!.functions.filter((f) => f.iommu === 'pamu0');
    // Each controller has one LIODN: its functions belong together.
    expect(behind.map((f) => [f.bdf, f.group, f.isolated])).toEqual([
      ['0000:00:00.0', 0, false],
      ['0000:01:00.0', 0, false],
      ['0001:00:00.0', 2, false],
      ['0001:01:00.0', 2, false],
    ]);
    for (const f of behind)
      for (const v of f.msi!.vectors) {
        expect(v.address).toBe('0x8000140');
        // Fact sheet: the data of MSIIR is SRS in bits 7:5 and IBS in bits 4:0.
        const { msir, bit } = v.delivered as unknown as { msir: number; bit: number };
        expect(Number(v.data)).toBe((msir << 5) | bit);
      }
  });

  it('--device and --vectors choose; an unknown function is a failure', () => {
    const { reports } = run(machine('q35-vtd'), '--device', '00:04.0', '--vectors', '2');
    expect(reports[0]!.functions.map((f) => [f.bdf, f.msi!.vectors.length])).toEqual([['0000:00:04.0', 2]]);
    const none = run(machine('q35-vtd'), '--device', '1f:00.0');
    expect(none.code).toBe(1);
    expect(codes(none.reports[0]!)).toEqual(['NO_SUCH_FUNCTION']);
  });

  it('bad usage is exit code 2 and one line', () => {
    for (const args of [
      ['--window', '0x1000'],
      ['--vectors', '0'],
      ['--device', 'x'],
      ['--config', 'no-such-file.js'],
      ['--tour', '--device', '00:04.0'],
    ]) {
      const { code, err } = run(machine('q35-vtd'), ...args);
      expect(code).toBe(2);
      expect(err.trim().split('\n')).toHaveLength(1);
    }
  });

  it('groups that ACS made finer than the dump has them are told', () => {
    const { reports } = run(machine('virt-smmuv3'), '--vectors', '1');
    expect(reports[0]!.notes.join()).toMatch(/ACS was switched on.*0000:00:05.0, 0000:01:00.0 share one/);
  });

  it('a function whose function 0 the dump lacks is driven all the same', () => {
    const dir = mkdtempSync(join(tmpdir(), 'doorbell-run-'));
    try {
      const whole = readFileSync(join(machine('q35-vtd'), 'pci.txt'), 'utf8');
      const sata = whole.split(/\n\n/).find((block) => /^(?:0000:)?00:1f\.2 /.test(block))!;
      for (const name of ['DMAR.dat', 'APIC.dat']) cpSync(join(machine('q35-vtd'), name), join(dir, name));
      writeFileSync(join(dir, 'pci.txt'), `${sata}\n\n`);
      const { code, reports } = run(dir);
      expect(code).toBe(0);
      expect(reports[0]!.functions.map((f) => [f.bdf, f.msi?.vectors.length])).toEqual([['0000:00:1f.2', 1]]);
      expect(reports[0]!.notes.join()).toMatch(/0000:00:1f\.0 is not in the dump/);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('an ITS takes messages only where a map leads to it: a host bridge without one is a failure', () => {
    const dir = mkdtempSync(join(tmpdir(), 'doorbell-run-'));
    try {
      const tree = readFileSync(join(machine('virt-smmuv3'), 'virt.dtb'));
      const at = tree.indexOf('msi-map\0');
      tree.write('msi-xxx', at, 'latin1');
      writeFileSync(join(dir, 'virt.dtb'), tree);
      const { code, reports } = run(dir);
      expect(code).toBe(1);
      expect(reports[0]!.failures.map((f) => [f.code, f.bdf])).toEqual([['NO_MSI_CONTROLLER', '0000:01:00.0']]);
      expect(reports[0]!.functions.map((f) => [f.msi, f.msiController])).toEqual([[null, null]]);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('a unit of impossible size is left out, and leaves room for the others', () => {
    const dir = mkdtempSync(join(tmpdir(), 'doorbell-run-'));
    try {
      const tree = readFileSync(join(machine('virt-smmuv3'), 'virt.dtb'));
      const at = tree.indexOf(Buffer.from([0, 0, 0, 0, 0x09, 0x05, 0, 0, 0, 0, 0, 0]));
      tree.writeUInt32BE(0x10000, at + 8);
      writeFileSync(join(dir, 'virt.dtb'), tree);
      const { code, reports } = run(dir);
      expect(code).toBe(1);
      expect(reports[0]!.failures.map((f) => [f.code, f.unit])).toEqual([['UNIT_LEFT_OUT', 'smmu0']]);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('what hangs off a VMD has another id at the IOMMU: it is left out, and told', () => {
    const dir = mkdtempSync(join(tmpdir(), 'doorbell-run-'));
    try {
      for (const name of ['DMAR.dat', 'APIC.dat']) cpSync(join(machine('q35-vtd'), name), join(dir, name));
      const whole = readFileSync(join(machine('q35-vtd'), 'pci.txt'), 'utf8');
      const nvme = whole.split(/\n\n/).find((block) => /^(?:0000:)?00:04\.0 /.test(block))!;
      writeFileSync(join(dir, 'pci.txt'), `${nvme}\n\n${nvme.replace(/^(?:0000:)?00:04/, '10000:e1:00')}\n\n`);
      const { reports } = run(dir);
      expect(reports[0]!.functions.map((f) => f.bdf)).toEqual(['0000:00:04.0']);
      expect(reports[0]!.notes.join()).toMatch(/segment 10000 \(1 functions?\) is not modelled/);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('tables of two machines: one is built, and each unit of the other is a failure', () => {
    const dir = mkdtempSync(join(tmpdir(), 'doorbell-run-'));
    try {
      for (const name of ['DMAR.dat', 'APIC.dat']) cpSync(join(machine('q35-vtd'), name), join(dir, name));
      cpSync(join(machine('virt-smmuv3'), 'virt.dtb'), join(dir, 'virt.dtb'));
      const { code, reports } = run(dir);
      expect(code).toBe(1);
      expect(reports[0]!.failures.map((f) => [f.code, f.unit])).toEqual([['UNIT_LEFT_OUT', 'dmar0']]);
      expect(reports[0]!.functions.every((f) => f.iommu === 'smmu0')).toBe(true);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('a window that nobody needs is said to be of no use', () => {
    const { code, reports } = run(machine('q35-vtd'), '--window', '0x9000000+0x1000', '--vectors', '1');
    expect(code).toBe(0);
    expect(reports[0]!.notes.join()).toMatch(/--window is not used for any function/);
  });

  it('a window that is no multiple of a page is a failure of each function, with its code', () => {
    const { code, reports } = run(machine('virt-smmuv3'), '--window', '0x9000000+0x800');
    expect(code).toBe(1);
    expect(codes(reports[0]!)).toEqual(['UNALIGNED']);
    expect(reports[0]!.functions.every((f) => f.msi === null)).toBe(true);
  });
});

describe('platform modules', () => {
  let dir = '';
  beforeAll(() => {
    dir = mkdtempSync(join(ROOT, 'node_modules/.doorbell-run-'));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const module = (name: string, text: string): string => {
    const file = join(dir, name);
    writeFileSync(file, text);
    return file;
  };

  it('a module that exports a platform, or a function that makes one', () => {
    const text = (how: string): string => `
      import { q35, q35Memory } from '@doorbell/boards';
      import { at, testFunction } from '@doorbell/pci';
      import { Platform } from '@doorbell/platform';
      const make = () => new Platform({ memory: q35Memory(), name: 'mine' })
        .use(q35({ functions: [at('04.0', testFunction({ msix: 3 }))] })).compose();
      export default ${how};`;
    for (const how of ['make', 'make()']) {
      const { code, reports } = run(module(`good-${how.length}.mjs`, text(how)));
      expect(code).toBe(0);
      expect(reports[0]!.platform).toBe('mine');
      expect(vectorsOf(reports[0]!).map((v) => v.delivered !== null)).toEqual([true, true, true]);
    }
  });

  it('what is no platform is unreadable', () => {
    for (const text of ['export default 3;', 'throw new Error("no")', 'export default () => { throw 1; }']) {
      const { code, reports, err } = run(module('bad.mjs', text));
      expect(code).toBe(2);
      expect(reports[0]).toMatchObject({ error: expect.stringContaining('bad.mjs') as string });
      expect(err).not.toMatch(/\n\s+at /);
    }
  });
});

const missing = !existsSync(join(SHARED, 'machines'));
if (missing) console.warn(`skipped: doorbell run over collected machines: there is no ${SHARED}/machines`);
describe.skipIf(missing)('collected machines', () => {
  const of = (kind: string): string[] => {
    const dir = join(SHARED, 'machines', kind);
    return readdirSync(dir).map((name) => join(dir, name));
  };
  const tmp = tmpdir();

  it.each(['intel', 'arm64-dtb', 'arm', 'amd', 'powerpc', 'lspci', 'fwts'])(
    '%s: an answer for each, nothing thrown',
    (kind) => {
      const inputs = of(kind);
      const { code, reports, err } = run(...inputs);
      expect([0, 1]).toContain(code);
      expect(err).toBe('');
      expect(reports.map((r) => r.input)).toEqual(inputs);
      for (const r of reports) {
        for (const f of r.failures) expect(f.code).toMatch(/^[A-Z][A-Z_0-9]+$/);
        for (const v of vectorsOf(r)) expect(v.delivered, `${r.input} ${v.address}`).not.toBeNull();
      }
      const vectors = reports.flatMap(vectorsOf);
      const failed = reports.filter((r) => r.failures.length > 0);
      const by = [...new Set(failed.flatMap(codes))].join(', ') || 'none';
      console.log(
        `${kind}: ${reports.length} machines, ${reports.flatMap((r) => r.functions).length} functions, ${vectors.length} vectors, all arrived; failures: ${by}`,
      );
    },
  );

  it('Intel: a stand-in at each endpoint scope and under each unit for everything', () => {
    const { reports } = run(...of('intel'));
    const clean = reports.filter((r) => r.failures.length === 0);
    expect(clean.length).toBeGreaterThan(190);
    for (const r of clean) {
      expect(r.functions.every((f) => f.standIn && f.window!.kind === 'fixed')).toBe(true);
      expect(new Set(r.functions.map((f) => f.iommu)).size).toBeGreaterThan(0);
    }
  });

  it('PowerPC: a tree that does not say which PAMU serves a controller has it behind one all the same', () => {
    const { code, reports } = run(join(SHARED, 'machines/powerpc/t4240qds.dtb'));
    expect(code).toBe(0);
    expect(reports[0]!.functions.map((f) => f.iommu)).toEqual(['pamu0', 'pamu1', 'pamu2', 'pamu3']);
    expect(reports[0]!.notes.filter((n) => /is taken, the tree does not say which PAMU/.test(n))).toHaveLength(4);
  });

  it('PowerPC: LIODNs that the tree lacks are assigned, and said to be', () => {
    const { reports } = run(join(SHARED, 'machines/powerpc/p4080ds.dtb'));
    expect(reports[0]!.functions.map((f) => [f.iommu, f.standIn])).toEqual(
      Array.from({ length: 3 }, () => ['pamu0', true]),
    );
    expect(reports[0]!.notes.filter((n) => /LIODN \d+ at pamu0 is assigned/.test(n))).toHaveLength(3);
  });

  it('PowerPC: without a PAMU messages go through PEXCSRBAR, and nobody is isolated', () => {
    const { code, reports } = run(join(SHARED, 'machines/powerpc/mpc8572ds_36b.dtb'));
    expect(code).toBe(0);
    for (const f of reports[0]!.functions) {
      expect([f.iommu, f.isolated, f.window]).toEqual([null, false, null]);
      expect(f.witness.join()).toContain('no IOMMU is in its way');
      // CCSR of 1 MiB just below 4 GiB; bank A's MSIIR at 0x4_1740 in it.
      expect(new Set(f.msi!.vectors.map((v) => v.address))).toEqual(new Set(['0xfff41740']));
    }
    expect(reports[0]!.notes.filter((n) => /no PAMU is described/.test(n))).toHaveLength(3);
  });

  it('PowerPC: an MSIR has one CPU, so many vectors go to as many CPUs as there are MSIRs for', () => {
    const { reports } = run(join(SHARED, 'machines/powerpc/t4240qds.dtb'), '--vectors', '64');
    for (const f of reports[0]!.functions) expect(f.msi!.vectors).toHaveLength(64);
  });

  it('AMD: NO_BACKEND names the unit, and the topology is there all the same', () => {
    const { code, reports } = run(...of('amd'));
    expect(code).toBe(1);
    for (const r of reports) {
      expect(r.failures.find((f) => f.code === 'NO_BACKEND')?.unit).toBe('ivhd0');
      expect(r.topology.length + r.functions.length).toBeGreaterThan(1);
    }
  });

  it('unreadable input is exit code 2, and the others are answered', () => {
    const { code, reports } = run(join(tmp, 'no-such-machine'), of('intel')[0]!);
    expect(code).toBe(2);
    expect(reports[0]).toHaveProperty('error');
    expect(vectorsOf(reports[1]!).length).toBeGreaterThan(0);
  });
});

describe('the tour', () => {
  it('goes as it should: everything arrives, a refused call changes nothing, a forgery is blocked where it is checked', () => {
    const machines = ['q35-vtd', 'virt-smmuv3', 'qoriq-pamu'].map((name) => join(ROOT, 'examples/machines', name));
    const r = spawnSync(process.execPath, [BIN, 'run', '--tour', '--config', CONFIG, ...machines], {
      encoding: 'utf8',
    });
    expect(r.stderr).toBe('');
    expect(r.status).toBe(0);
    expect(r.stdout).toContain('103 of 103 arrived');
    expect(r.stdout).toContain('78 of 78 arrived');
    expect(r.stdout).toContain('72 of 72 arrived');
    expect(r.stdout.match(/Bit by bit as before/g)).toHaveLength(3);
    expect(r.stdout).toMatch(/MSI_WINDOW_EXHAUSTED[^]*needed 1 page\(s\), free 0[^]*reserve at least 0x2000 bytes/);
    expect(r.stdout).toContain('blocked: IRTE_SOURCE_ID (0x26)');
    expect(r.stdout).toContain('blocked: UNMAPPED_EVENT');
    expect(r.stdout).toContain('harmless: source 232 at CPU 0, an interrupt of 0001:01:00.0 itself');
    expect(r.stdout.match(/interrupts in the name of/g)).toHaveLength(3);
  });
});
