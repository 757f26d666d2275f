import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const BIN = fileURLToPath(new URL('../bin/doorbell.js', import.meta.url));
let dir = '';

/** Runs the built command; `npm test` builds first. */
function doorbell(...args: string[]): { code: number | null; out: string; err: string; ms: number } {
  const begun = performance.now();
  const r = spawnSync(process.execPath, [BIN, ...args], { cwd: dir, encoding: 'utf8' });
  return { code: r.status, out: r.stdout, err: r.stderr, ms: performance.now() - begun };
}

/** A DMAR with one unit that includes all; `base` 0 is a mistake. */
function dmar(base: number): Buffer {
  const b = Buffer.alloc(64);
  b.write('DMAR', 0);
  b.writeUInt32LE(64, 4);
  b[36] = 38;
  b[37] = 1;
  b.writeUInt16LE(16, 50);
  b[52] = 1;
  b.writeUInt32LE(base, 56);
  b[9] = -b.reduce((a, x) => a + x, 0) & 0xff;
  return b;
}

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'doorbell-cli-'));
  for (const name of ['good', 'bad', 'empty', 'torn', 'nested']) mkdirSync(join(dir, name));
  mkdirSync(join(dir, 'nested/acpi'));
  writeFileSync(join(dir, 'good/DMAR.dat'), dmar(0xfed90000));
  writeFileSync(join(dir, 'nested/acpi/DMAR.dat'), dmar(0xfed90000));
  writeFileSync(join(dir, 'bad/DMAR.dat'), dmar(0));
  writeFileSync(join(dir, 'torn/DMAR.dat'), dmar(0xfed90000).subarray(0, 20));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('doorbell machine', () => {
  it('prints one object per input, in order, and answers all others when one cannot be read', () => {
    const r = doorbell('machine', '--json', 'good', 'empty', 'torn', 'gone', 'bad', 'nested');
    const rows = r.out
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l) as { input: string; error?: string; iommus?: unknown[] });
    expect(rows.map((o) => [o.input, 'error' in o])).toEqual([
      ['good', false],
      ['empty', true],
      ['torn', true],
      ['gone', true],
      ['bad', false],
      ['nested', false],
    ]);
    expect(rows[2]!.error).toContain('DMAR.dat: byte 20');
    expect(r.code).toBe(2);
    expect(r.err.trim().split('\n')).toHaveLength(3);
    expect(r.err).not.toMatch(/ {4}at /);
  });

  it('exit codes: 0 as asked, 1 with an error finding, 2 for bad usage', () => {
    expect(doorbell('machine', 'good').code).toBe(0);
    expect(doorbell('machine', 'bad').code).toBe(1);
    expect(doorbell('machine').code).toBe(2);
    expect(doorbell('machine', '--nonsense', 'good').code).toBe(2);
    expect(doorbell('nonsense').code).toBe(2);
  });

  it('takes files by what they are where names do not tell: tables, gzip, acpidump, a dump of another name', () => {
    const table = dmar(0xfed90000);
    const rows = Array.from({ length: table.length / 16 }, (_, i) => {
      const bytes = [...table.subarray(16 * i, 16 * i + 16)].map((b) => b.toString(16).padStart(2, '0').toUpperCase());
      return `    ${(16 * i).toString(16).padStart(4, '0')}: ${bytes.join(' ')}  ................`;
    });
    const text = ['SSDT @ 0x0', '    0000: 53 53 44 54', '', 'DMAR @ 0x0000000000000000', ...rows, ''].join('\n');
    for (const name of ['renamed', 'zipped', 'dumped']) mkdirSync(join(dir, name), { recursive: true });
    writeFileSync(join(dir, 'renamed/vt-d table'), table);
    writeFileSync(join(dir, 'renamed/lspci-nnx.txt'), '00:04.0 Class [0108]: Maker [1b36:0010]\n\n');
    writeFileSync(join(dir, 'renamed/other.txt'), '00:05.0 not a dump by its name\n\n');
    writeFileSync(join(dir, 'zipped/DMAR.dat.gz'), gzipSync(table));
    writeFileSync(join(dir, 'dumped/acpidump.txt'), text);
    writeFileSync(join(dir, 'pasted.log'), text);
    writeFileSync(join(dir, 'hole.log'), text.replace(/ {4}0010.*\n/, ''));
    writeFileSync(join(dir, 'torn.dtb.gz'), gzipSync(table).subarray(0, 30));
    const r = doorbell('machine', '--json', 'renamed', 'zipped', 'dumped', 'pasted.log', 'hole.log', 'torn.dtb.gz');
    type Row = { sources?: string[]; iommus?: { base: string }[]; error?: string };
    const answers = r.out
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l) as Row);
    expect(answers.map((a) => a.sources)).toEqual([
      ['vt-d table', 'lspci-nnx.txt'],
      ['DMAR.dat.gz'],
      ['acpidump.txt: DMAR'],
      ['pasted.log: DMAR'],
      undefined,
      undefined,
    ]);
    for (const a of answers.slice(0, 4)) expect(a.iommus).toMatchObject([{ base: '0xfed90000' }]);
    expect(answers[4]!.error).toMatch(/^hole\.log: line 6: bytes at 0x20 where 0x10 follows/);
    expect(answers[5]!.error).toMatch(/^torn\.dtb\.gz: damaged gzip file/);
  });

  it('says an input once, what is in it instead, and where the machines are', () => {
    mkdirSync(join(dir, 'parent/one'), { recursive: true });
    writeFileSync(join(dir, 'parent/one/DMAR.dat'), dmar(0xfed90000));
    writeFileSync(join(dir, 'zero.dtb'), '');
    const said = (input: string): string => doorbell('machine', input).err.trim();
    expect(said('empty')).toMatch(/^doorbell: empty: no ACPI table.*: the directory is empty/);
    expect(said('parent')).toContain('name the machine itself: parent/one');
    expect(said('zero.dtb')).toMatch(/^doorbell: zero\.dtb: byte 0: /);
    expect(said('gone')).toBe('doorbell: gone: there is no such file or directory');
  });

  it('has every field of the contract', () => {
    const o = JSON.parse(doorbell('machine', '--json', 'good').out) as object;
    for (const key of ['input', 'kinds', 'sources', 'interruptRemapping', 'iommus', 'msiControllers', 'reserved'])
      expect(o).toHaveProperty(key);
    for (const key of ['idMappings', 'devices', 'groups', 'findings']) expect(o).toHaveProperty(key);
    expect(o).toMatchObject({
      kinds: ['intel-vtd'],
      sources: ['DMAR.dat'],
      devices: null,
      groups: null,
      interruptRemapping: { supported: true, x2apicOptOut: false },
      iommus: [{ name: 'dmar0', type: 'vtd', base: '0xfed90000', segment: 0, includeAll: true, bdf: null, scopes: [] }],
    });
  });

  it.each([
    ['anywhere', {}, false],
    ['on a CI machine', { CI: '1' }, false],
    ['against a wish for none', { NO_COLOR: '1' }, false],
    ['unless FORCE_COLOR asks for it', { FORCE_COLOR: '1' }, true],
  ])('writes no colour into a pipe, %s', (_, env, coloured) => {
    const { stdout } = spawnSync(process.execPath, [BIN, 'machine', 'good'], {
      cwd: dir,
      encoding: 'utf8',
      env: { ...process.env, FORCE_COLOR: undefined, ...env },
    });
    expect(stdout).toContain('dmar0');
    expect(stdout.includes('\x1b')).toBe(coloured);
  });
});

describe('doorbell', () => {
  it('--help starts in under 0.3 s', () => {
    // On a busy machine everything waits: then an empty program, started in turn, says how long.
    const empty = (): number => {
      const begun = performance.now();
      spawnSync(process.execPath, ['-e', '0']);
      return performance.now() - begun;
    };
    const rounds = Array.from({ length: 6 }, () => ({ help: doorbell('--help').ms, empty: empty() }));
    const best = Math.min(...rounds.map((r) => r.help));
    expect(doorbell('--help').out).toContain('machine');
    expect(best).toBeLessThan(Math.max(300, 4 * Math.min(...rounds.map((r) => r.empty))));
  });

  it('collect prints a script that a shell accepts, whatever the directory is called', () => {
    for (const name of ["it's $HOME; rm -rf /tmp/never", 'plain']) {
      const { out, code } = doorbell('collect', name);
      expect(code).toBe(0);
      expect(execFileSync('sh', ['-n'], { input: out, encoding: 'utf8' })).toBe('');
    }
  });

  it('what the collected script cannot read is left out, and said: an empty file would make the directory unreadable', () => {
    mkdirSync(join(dir, 'bin'), { recursive: true });
    writeFileSync(join(dir, 'bin/lspci'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    writeFileSync(join(dir, 'bin/sudo'), '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });
    const env = { ...process.env, PATH: `${join(dir, 'bin')}:${process.env['PATH'] ?? ''}` };
    const r = spawnSync('sh', { input: doorbell('collect', 'mine').out, cwd: dir, env, encoding: 'utf8' });
    expect(r.status).toBe(0);
    expect(r.stderr).toContain('left out: mine/pci.txt');
    expect(existsSync(join(dir, 'mine/pci.txt'))).toBe(false);
  });

  it('plugins lists what a configuration exports, and says where a wrong one is wrong', () => {
    const plugin = { name: 'x', package: '@x/x', role: 'iommu', compatible: ['x,y'], judgedBy: ['QEMU'] };
    const write = (name: string, value: unknown): void =>
      writeFileSync(join(dir, name), `export default ${JSON.stringify(value)};\n`);
    write('a.mjs', { plugins: [{ ...plugin, more: 1 }] });
    write('b.mjs', { plugins: [{ ...plugin, role: 'cook' }] });
    expect(JSON.parse(doorbell('plugins', '--json', '--config', 'a.mjs').out)).toEqual([plugin]);
    const bad = doorbell('plugins', '--config', 'b.mjs');
    expect(bad.code).toBe(2);
    expect(bad.err).toMatch(/b\.mjs: default export\.plugins\[0\]\.role/);
    expect(doorbell('plugins', '--config', 'gone.mjs').code).toBe(2);
  });
});
