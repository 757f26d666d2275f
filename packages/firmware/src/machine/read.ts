import { isAcpidump, readAcpidump } from '../acpi/acpidump.js';
import { acpiSignature, openTable } from '../acpi/header.js';
import { readDmar, type DmarTable } from '../acpi/dmar.js';
import { readIort, type IortTable } from '../acpi/iort.js';
import { readIvrs, type IvrsTable } from '../acpi/ivrs.js';
import { readMadt, type MadtTable } from '../acpi/madt.js';
import { readMcfg, type McfgTable } from '../acpi/mcfg.js';
import { isFdt, readFdt } from '../devicetree/fdt.js';
import type { Tree } from '../devicetree/tree.js';
import { FirmwareError } from '../errors.js';
import { Findings } from '../findings/index.js';
import { readFacts } from '../lspci/capabilities.js';
import { looksLikeDump, readDump } from '../lspci/dump.js';
import { buildTopology, type Topology } from '../lspci/topology.js';
import type { InputFile } from './types.js';

/** Everything that was read, before it is put together. Tables that are not there are null. */
export interface Machine {
  readonly sources: readonly string[];
  readonly dmar: DmarTable | null;
  readonly ivrs: IvrsTable | null;
  readonly iort: IortTable | null;
  readonly madt: MadtTable | null;
  readonly mcfg: McfgTable | null;
  readonly tree: Tree | null;
  readonly pci: Topology | null;
  /** The dump's file name. */
  readonly pciFile: string | null;
  readonly findings: Findings;
}

const TABLES = ['DMAR', 'IVRS', 'IORT', 'APIC', 'MCFG', 'VIOT'] as const;
type TableName = (typeof TABLES)[number];

/** The table that a file should be by its name (`DMAR`, `DMAR.dat`), else by its signature; null for others. */
function tableOf(file: InputFile): TableName | null {
  const stem = /^([A-Z]{4})(?:\.(?:dat|bin|aml))?$/i.exec(file.name)?.[1]?.toUpperCase();
  const named = TABLES.find((t) => t === stem);
  return named ?? TABLES.find((t) => t === acpiSignature(file.bytes)) ?? null;
}

/** What the EFI stub makes for a machine that boots by ACPI: a tree without devices. */
const isStub = (tree: Tree): boolean =>
  tree.root.children.every((n) => /^(?:chosen|hypervisor|memory|reserved-memory|aliases)(?:@|$)/.test(n.name));

/** The tables of an `acpidump` text stand for files; everything else stays as it is. */
const unpacked = (files: readonly InputFile[]): InputFile[] =>
  files.flatMap((file) =>
    isAcpidump(file.bytes)
      ? readAcpidump(file.name, file.bytes, (s) => TABLES.some((t) => t === s)).map(({ signature, bytes }) => ({
          name: `${file.name}: ${signature}`,
          bytes,
        }))
      : [file],
  );

/** What a file is by its first bytes: a table that is read here, a device tree, a PCI dump or an `acpidump` text; null for anything else. */
export function kindOf(file: InputFile): TableName | 'tree' | 'dump' | 'acpidump' | null {
  if (isTree(file)) return 'tree';
  if (isAcpidump(file.bytes)) return 'acpidump';
  return tableOf(file) ?? (looksLikeDump(file.bytes) ? 'dump' : null);
}

const isTree = (file: InputFile): boolean => isFdt(file.bytes) || /\.dtb$/i.test(file.name);

/**
 * Reads the files of one machine: tables, one by one or as `acpidump` prints them, a tree, a dump. Unknown files are
 * passed over unless there is only one: then it must be something.
 * Errors: `FirmwareError` naming the file and the place, where a file is not what it should be.
 */
export function readMachine(given: readonly InputFile[]): Machine {
  const files = unpacked(given);
  const findings = new Findings();
  const sources: string[] = [];
  const take = <T>(
    file: InputFile | undefined,
    read: (name: string, bytes: Uint8Array, f: Findings) => T,
  ): T | null => {
    if (file === undefined) return null;
    sources.push(file.name);
    return read(file.name, file.bytes, findings);
  };
  const table = (name: TableName): InputFile | undefined => {
    const all = files.filter((f) => !isTree(f) && tableOf(f) === name);
    if (all.length > 1) {
      findings.add('ACPI_TABLE_TWICE', `${name}: ${all.map((f) => f.name).join(', ')}`, { table: name, offset: null });
    }
    return all[0];
  };
  const dmar = take(table('DMAR'), readDmar);
  const ivrs = take(table('IVRS'), readIvrs);
  const iort = take(table('IORT'), readIort);
  const madt = take(table('APIC'), readMadt);
  const mcfg = take(table('MCFG'), readMcfg);
  take(table('VIOT'), noteViot);

  const trees = files.filter(isTree);
  if (trees.length > 1) {
    findings.add('DT_SEVERAL_TREES', `${trees.map((f) => f.name).join(', ')}: ${trees[0]!.name} is read`, {
      table: trees[0]!.name,
      offset: null,
    });
  }
  const read = take(trees[0], readFdt);
  const acpi = [dmar, ivrs, iort, madt].some((t) => t !== null);
  const tree = read !== null && acpi && isStub(read) ? null : read;
  if (read !== null && tree === null)
    findings.add('DT_STUB', `${read.file} has only ${read.root.children.map((n) => n.path).join(', ') || 'a root'}`, {
      table: read.file,
      offset: null,
    });
  const said = [dmar && 'DMAR', ivrs && 'IVRS', iort && 'IORT', tree?.file].filter((x) => typeof x === 'string');
  if (said.length > 1) findings.add('SEVERAL_DESCRIPTIONS', said.join(', '), { table: null, offset: null });

  const rest = files.filter((f) => !isTree(f) && tableOf(f) === null);
  const dump =
    rest.find((f) => f.name === 'pci.txt') ??
    rest.find((f) => f.name === 'lspci.txt') ??
    (given.length === 1 ? rest[0] : rest.find((f) => looksLikeDump(f.bytes)));
  const functions = take(dump, readDump);
  if (sources.length === 0) {
    const found =
      given.length === 0
        ? 'there is no file'
        : `none of ${given
            .map((f) => f.name)
            .slice(0, 8)
            .join(', ')} is one`;
    throw new FirmwareError(
      null,
      null,
      `no ACPI table, device tree or pci.txt: ${found}`,
      '`doorbell collect` prints how to gather a machine directory',
    );
  }
  const pci = functions === null ? null : readTopology(functions, dump!.name, findings);
  return { sources, dmar, ivrs, iort, madt, mcfg, tree, pci, pciFile: dump?.name ?? null, findings };
}

/** VIOT (ACPI 5.2.33): header and count are checked, so that damage shows; its nodes are not decoded. */
function noteViot(name: string, data: Uint8Array, findings: Findings): null {
  const { bytes, found } = openTable(name, data, 'VIOT', findings);
  const nodes = bytes.has(36, 2) ? `${bytes.u16(36)} nodes` : 'no room for nodes';
  found('VIOT_UNSUPPORTED', 36, `VIOT with ${nodes}`);
  return null;
}

function readTopology(functions: ReturnType<typeof readDump>, file: string, findings: Findings): Topology {
  const deep = functions.some((f) => f.config.length > 256);
  const facts = functions.map((f) => readFacts(f, deep));
  const topology = buildTopology(facts);
  const add = (code: Parameters<Findings['add']>[0], message: string, line: number): void =>
    findings.add(code, message, { table: file, offset: null, line });
  let bare = 0;
  let shallow = 0;
  for (const f of facts) {
    const { source } = f;
    for (const p of f.problems) add(p.code, p.message, source.line);
    if (f.unreadable) add('PCI_UNREADABLE', source.bdf, source.line);
    else if (source.config.length < 64) {
      if (bare++ === 0)
        add('LSPCI_NO_BYTES', `${source.bdf} has ${source.config.length} bytes of configuration space`, source.line);
    } else if (f.msi === null || f.msix === null || f.acs === null) {
      if (shallow++ === 0)
        add(
          'LSPCI_SHALLOW',
          `${source.bdf} and perhaps others: ${source.config.length} bytes are not enough`,
          source.line,
        );
    }
    if (source.textId !== null && f.id !== null && f.id !== source.textId && !f.id.startsWith('ffff')) {
      add('LSPCI_TEXT_DISAGREES', `${source.bdf}: ${source.textId} in the text, ${f.id} in the bytes`, source.line);
    }
  }
  for (const p of topology.problems) add(p.code, p.message, p.line);
  return topology;
}
