import type { Finding, IommuDescription, MachineDescription, ReservedDescription, Severity } from '@doorbell/firmware';
import { pc } from './colors.js';
import { section } from './table.js';

const ROWS = 12;
const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
const unknown = (value: string | number | null): string => (value === null ? '?' : String(value));

/** What people read: the machine in tables, then the findings, worst first. */
export function renderMachine(input: string, m: MachineDescription, all: boolean): string {
  const limit = all ? Infinity : ROWS;
  const parts: string[] = [
    `${pc.bold(pc.underline(input))}  ${m.kinds.join(', ') || 'no IOMMU described'}`,
    pc.dim(`  from ${m.sources.join(', ')}`),
  ];
  const { supported, x2apicOptOut } = m.interruptRemapping;
  if (supported !== null) {
    parts.push(
      `  interrupt remapping: ${supported ? pc.green('yes') : pc.red('no')}${x2apicOptOut ? pc.yellow(', x2APIC opt-out') : ''}`,
    );
  }
  for (const line of surroundings(m)) parts.push(`  ${line}`);
  if (m.iommus.length > 0)
    parts.push(
      '',
      section(
        'IOMMUs',
        ['name', 'type', 'base', 'serves'],
        m.iommus.map((u) => iommuRow(u, m, limit)),
        limit,
      ),
    );
  if (m.msiControllers.length > 0) {
    const rows = m.msiControllers.map((c) => [
      c.type,
      unknown(c.base),
      unknown(c.doorbell),
      c.vectors === null ? '?' : String(c.vectors),
    ]);
    parts.push('', section('MSI controllers', ['type', 'base', 'doorbell', 'vectors'], rows, limit));
  }
  if (m.reserved.length > 0) {
    const rows = m.reserved.map((r) => [
      r.kind,
      `${r.base}–${r.last}`,
      r.functions
        ? `${r.functions.first} to ${r.functions.last}`
        : functionsOf(r) || (r.kind === 'ivmd' ? 'all' : 'nobody known'),
    ]);
    parts.push('', section('Reserved memory', ['kind', 'range', 'for'], rows, limit));
  }
  if (m.idMappings.length > 0) {
    const hex = (n: number): string => '0x' + n.toString(16);
    const rows = m.idMappings.map((x) => [
      x.from,
      (x.mask === undefined ? '' : `id & ${hex(x.mask)} in `) +
        (x.count < 2 ? hex(x.inputBase) : `${hex(x.inputBase)}–${hex(x.inputBase + x.count - 1)}`) +
        (x.count === 0 ? ' (none)' : ''),
      '→',
      `${hex(x.outputBase)} at ${unknown(x.to)}`,
    ]);
    parts.push('', section('Id mappings', ['from', 'ids', '', 'become'], rows, limit));
  }
  if (m.devices !== null) {
    const groupOf = new Map(m.groups?.flatMap((g, i) => g.map((bdf) => [bdf, i] as const)));
    const rows = m.devices.map((d) => [
      d.bdf,
      unknown(d.id),
      unknown(d.class),
      unknown(d.msi),
      unknown(d.msix),
      unknown(groupOf.get(d.bdf) ?? null),
    ]);
    const groups = m.groups === null ? 'groups unknown' : counted(m.groups.length, 'isolation group');
    parts.push(
      '',
      section(
        `Functions (${m.devices.length}, ${groups})`,
        ['function', 'id', 'class', 'msi', 'msi-x', 'group'],
        rows,
        limit,
      ),
    );
  }
  parts.push('', renderFindings(m.findings, all));
  return parts.join('\n');
}

/** Interrupt controllers and configuration space that tables name beside IOMMUs, and the PCI host bridges of a tree. */
function surroundings(m: MachineDescription): string[] {
  const lines: string[] = [];
  const list = (what: string, rows: readonly string[]): void => {
    if (rows.length > 0) lines.push(`${what}: ${shortened(rows).join(', ')}`);
  };
  list(
    'IOAPICs',
    m.ioapics.map((a) => `${a.id} at ${a.address} (GSI ${a.gsiBase} up)`),
  );
  const bus = (n: number): string => n.toString(16).padStart(2, '0');
  list(
    'configuration space',
    m.ecam.map((e) => `segment ${e.segment} buses ${bus(e.firstBus)}–${bus(e.lastBus)} at ${e.base}`),
  );
  list(
    'PCI host bridges',
    m.pciHosts.map((h) => `${h.node}${h.msiParents.length > 0 ? ` (MSIs to ${h.msiParents.join(', ')})` : ''}`),
  );
  return lines;
}

/** The functions of a reserved range; those behind a bridge that no dump shows are counted. */
function functionsOf(r: ReservedDescription): string {
  const known = r.bdfs.filter((b) => b !== null);
  const hidden = r.bdfs.length - known.length;
  return [...known, ...(hidden > 0 ? [`${hidden} behind bridges`] : [])].join(' ');
}

function iommuRow(u: IommuDescription, m: MachineDescription, limit: number): string[] {
  const serves = shortened(mappedTo(u, m));
  if (u.includeAll) serves.push('all that no other unit names');
  const short: Record<string, string> = {
    'pci-endpoint': '',
    'pci-bridge': 'below ',
    ioapic: 'ioapic',
    hpet: 'hpet',
    namespace: 'acpi ',
  };
  const scopes = u.scopes.map((s) => {
    const source = s.kind === 'ioapic' || s.kind === 'hpet' ? `${short[s.kind]} ${s.enumerationId} as ` : null;
    const what = source ?? `${short[s.kind]}${s.path ? `${s.path} ` : ''}`;
    return { source, text: what + (s.bdf ?? 'a function behind a bridge') };
  });
  // A timer or IOAPIC may send under several ids: the first of them stands for all.
  const shown = scopes.flatMap(({ source, text }, i) => {
    if (source === null || limit === Infinity) return [text];
    const same = scopes.filter((s) => s.source === source).length;
    if (scopes.findIndex((s) => s.source === source) < i) return [];
    return [same > 1 ? `${text} and ${same - 1} more` : text];
  });
  serves.push(...shown.slice(0, limit));
  if (shown.length > limit) serves.push(`${shown.length - limit} more (--all shows them)`);
  // The last part of a path is enough to know a device by.
  const liodns = (u.liodns ?? []).map(
    ({ device, liodn }) => device.slice(device.lastIndexOf('/') + 1) + (liodn === null ? '' : ` as LIODN ${liodn}`),
  );
  serves.push(...(limit === Infinity ? liodns : shortened(liodns)));
  if (u.aliases && u.aliases.length > 0)
    serves.push(u.aliases.length === 1 ? '1 alias' : `${u.aliases.length} aliases`);
  return [
    u.name,
    u.type,
    unknown(u.base),
    serves.join(', ') + (u.bdf === null ? '' : `${serves.length > 0 ? '; ' : ''}itself ${u.bdf}`),
  ];
}

/** Who reaches an SMMU through id mappings or streams of its own. */
function mappedTo(u: IommuDescription, m: MachineDescription): string[] {
  const name = `${u.type}@${u.base ?? '?'}`;
  const mapped = m.idMappings.filter((x) => x.to === name).map((x) => x.from);
  return [...new Set([...mapped, ...m.streams.filter((s) => s.to === name).map((s) => s.device)])];
}
const shortened = (names: readonly string[]): string[] =>
  names.length > 5 ? [...names.slice(0, 4), `${names.length - 4} more`] : [...names];

const ORDER: readonly Severity[] = ['error', 'warning', 'info'];
const PAINT: Record<Severity, (s: string) => string> = { error: pc.red, warning: pc.yellow, info: pc.cyan };

/** One block per code: what it is, where, what follows, what to do. */
function renderFindings(findings: readonly Finding[], all: boolean): string {
  if (findings.length === 0) return pc.green('Nothing found wrong.');
  const byCode = new Map<string, Finding[]>();
  for (const f of findings) byCode.set(f.code, [...(byCode.get(f.code) ?? []), f]);
  const blocks = [...byCode.values()].sort((a, b) => ORDER.indexOf(a[0]!.severity) - ORDER.indexOf(b[0]!.severity));
  const count = (s: Severity): number => findings.filter((f) => f.severity === s).length;
  const lines = [pc.bold(`Findings (${ORDER.map((s) => `${count(s)} ${s}`).join(', ')})`)];
  for (const block of blocks) {
    const { severity, code, consequence, remedy } = block[0]!;
    lines.push(
      `  ${PAINT[severity](severity.padEnd(7))} ${pc.bold(code)}${block.length > 1 ? ` × ${block.length}` : ''}`,
    );
    const shown = all ? block : block.slice(0, 3);
    for (const f of shown) lines.push(`          ${f.message}${place(f)}`);
    if (block.length > shown.length)
      lines.push(pc.dim(`          … and ${block.length - shown.length} more (--all shows them)`));
    lines.push(...wrapped('→ ' + consequence), ...wrapped('  ' + remedy).map((l) => pc.dim(l)));
  }
  return lines.join('\n');
}

/** Under the column of the codes, at most 100 columns wide; the first two characters stay in the margin. */
function wrapped(text: string): string[] {
  const lines = [''];
  for (const word of text.slice(2).split(' ')) {
    if (lines.at(-1)!.length + word.length > 86) lines.push('');
    lines[lines.length - 1] += (lines.at(-1) === '' ? '' : ' ') + word;
  }
  return lines.map((l, i) => `          ${i === 0 ? text.slice(0, 2) : '  '}${l}`);
}

function place(f: Finding): string {
  if (f.line !== undefined) return pc.dim(`  [${f.table ?? ''}, line ${f.line}]`);
  return f.table === null ? '' : pc.dim(`  [${f.table}${f.offset === null ? '' : `, byte ${f.offset}`}]`);
}
