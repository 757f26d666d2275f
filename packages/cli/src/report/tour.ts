import { pc } from './colors.js';
import type { Forgery, MachineTour, Refusal } from '../run/tour.js';
import type { FunctionReport } from '../run/drive.js';
import { arrival, hops } from './run.js';

/** What PCI says a class is (PCI Code and ID Assignment, base class and subclass). */
const CLASSES: Readonly<Record<string, string>> = {
  '0100': 'SCSI / virtio disk',
  '0106': 'SATA controller',
  '0108': 'NVMe disk',
  '0200': 'network card',
  '0604': 'PCIe root port',
  '0c03': 'USB controller',
  '00ff': 'test device',
};
const NAMES: Readonly<Record<string, string>> = {
  'intel-vtd': 'Intel VT-d',
  'amd-vi': 'AMD-Vi',
  'arm-smmuv3': 'Arm SMMUv3',
  'powerpc-pamu': 'PowerPC PAMU',
};

const CONTROLLERS: Readonly<Record<string, string>> = {
  'intel,apic': 'local APICs',
  'arm,gic-v3-its': 'GICv3 ITS',
  'arm,gic-v2m-frame': 'GICv2m frame',
  'fsl,mpic-msi': 'MPIC message banks',
};

const LABEL = 22;
const WIDTH = 118;

/** The whole tour, for somebody who sees it for the first time. */
export function renderTour(tours: readonly MachineTour[]): string {
  return [
    pc.bold('A doorbell is the address that a device writes to when it wants a CPU’s attention.'),
    'Below, every device of each machine gets its interrupts by the same call, allocateVectors(), and then really writes them.',
    'What it has to be programmed with differs by architecture; the caller never sees that.',
    '',
    ...sideBySide(tours),
    '',
    ...tours.flatMap(followed),
    ...tours.flatMap((t) => (t.refusal ? refused(t, t.refusal) : [])),
    ...tours.flatMap((t) => (t.forgery ? forged(t) : [])),
    ...tours.flatMap((t) => t.failures.map((f) => `${pc.red(f.code)}  ${t.name}: ${f.message}`)),
    pc.dim(
      'Your own machine: `npx doorbell collect > collect.sh` gathers what it says, `npx doorbell run DIR` does the above with it.',
    ),
  ].join('\n');
}

const heading = (text: string): string => pc.bold(pc.underline(text));
const plain = (s: string): number => s.replace(/\u001b\[\d+m/g, '').length;
const pad = (s: string, width: number): string => s + ' '.repeat(Math.max(1, width - plain(s)));

/** A label and a cell per machine, or a line as it is. */
type Row = { readonly label: string; readonly cells: readonly string[] } | string;
const row = (label: string, cells: readonly string[]): Row => ({ label, cells });

/** Columns as wide as their widest cell: three machines fit beside each other. */
function table(rows: readonly Row[]): string[] {
  const cells = rows.flatMap((r) => (typeof r === 'string' ? [] : r.cells));
  const column = Math.max(0, ...cells.map(plain)) + 3;
  return rows.map((r) =>
    typeof r === 'string'
      ? r
      : `  ${pad(r.label, LABEL)}${r.cells.map((c, i) => (i < r.cells.length - 1 ? pad(c, column) : c)).join('')}`.trimEnd(),
  );
}

/** One block per kind of device; devices of the same kind stand beside each other. */
function sideBySide(tours: readonly MachineTour[]): string[] {
  const lines: Row[] = [
    row(
      '',
      tours.map((t) => pc.bold(t.name)),
    ),
    row(
      'IOMMU',
      tours.map((t) => t.kinds.map((k) => NAMES[k] ?? k).join(', ')),
    ),
    row(
      'takes interrupts',
      tours.map((t) => [...new Set(t.controllers.map((c) => CONTROLLERS[c] ?? c))].join(', ')),
    ),
    row('window for MSIs', tours.map(windowPhrase)),
  ];
  const ids = [...new Set(tours.flatMap((t) => t.functions.map((f) => f.id)))];
  const rank = (id: string): number => -tours.filter((t) => t.functions.some((f) => f.id === id)).length;
  const alone: string[] = [];
  for (const id of ids.sort((a, b) => rank(a) - rank(b))) {
    const cells = tours.map((t) => t.functions.find((f) => f.id === id));
    if (cells.filter((c) => c).length < Math.min(2, tours.length)) {
      alone.push(CLASSES[cells.find((c) => c)!.class] ?? id);
      continue;
    }
    const first = cells.find((c) => c !== undefined)!;
    lines.push('', row(pc.bold(CLASSES[first.class] ?? `class ${first.class}`), cells.map(who)));
    lines.push(
      row(
        pc.dim('  vector 0 holds'),
        cells.map((f) => (f?.msi ? `${f.msi.vectors[0]!.address} := ${f.msi.vectors[0]!.data}` : '–')),
      ),
    );
    lines.push(
      row(
        pc.dim('  it arrived as'),
        cells.map((f) => (f?.msi ? arrival(f.msi.vectors[0]!) : '–')),
      ),
    );
  }
  if (alone.length > 0) lines.push('', pc.dim(`  and on one of them only: ${[...new Set(alone)].join(', ')}`));
  const total = (t: MachineTour): string => {
    const vectors = t.functions.flatMap((f) => f.msi?.vectors ?? []);
    const arrived = vectors.filter((v) => v.delivered).length;
    return (arrived === vectors.length ? pc.green : pc.red)(`${arrived} of ${vectors.length} arrived`);
  };
  lines.push('', row(pc.bold('all vectors'), tours.map(total)));
  return table(lines);
}

const who = (f: FunctionReport | undefined): string =>
  f?.msi ? `${f.bdf.slice(5)}, ${f.msi.vectors.length} × ${f.msi.kind === 'msix' ? 'MSI-X' : 'MSI'}` : '–';

function windowPhrase(t: MachineTour): string {
  const window = t.functions.find((f) => f.window)?.window;
  if (!window) return 'none';
  return window.kind === 'fixed' ? `fixed at ${window.base}` : `${window.size} bytes at ${window.base}`;
}

/** The way of one message. */
function followed(t: MachineTour): string[] {
  const f = t.functions.find((x) => x.msi && x.iommu) ?? t.functions.find((x) => x.msi);
  const v = f?.msi?.vectors[0];
  if (!f || !v) return [];
  return [heading(`${t.name}: vector 0 of ${f.bdf}, hop by hop`), ...hops(v.route, '  ', WIDTH), ''];
}

function refused(t: MachineTour, r: Refusal): string[] {
  const parts = Object.entries(r.unchanged);
  const equal = parts.every(([, same]) => same);
  const names = parts.map(([part]) => part).join(', ');
  return [
    heading(`${t.name}: a call that cannot succeed changes nothing`),
    `  ${r.setting}.`,
    `  ${pc.cyan(r.call)} fails with ${pc.red(pc.bold(r.code))}:`,
    `    ${r.message}`,
    `    ${pc.dim(`→ ${r.remedy}`)}`,
    `  ${equal ? pc.green(`Bit by bit as before: ${names}.`) : pc.red(`Changed: ${parts.flatMap(([p, same]) => (same ? [] : [p])).join(', ')}`)}`,
    ...(r.then ? [`  ${r.then}`] : []),
    '',
  ];
}

function forged(t: MachineTour): string[] {
  const { guarded, unguarded } = t.forgery!;
  const { victim, attacker, address, data, index } = guarded;
  return [
    heading(`${t.name}: a forged interrupt`),
    `  ${victim} was programmed with ${address} := ${data} (vector ${index}). Now ${attacker} writes the very same.`,
    ...verdict('as the machine is', guarded),
    ...(unguarded ? verdict('without verification', unguarded) : []),
    '',
  ];
}

function verdict(label: string, f: Forgery): string[] {
  const { forged, attacker, victim } = f;
  const accepted = forged.delivered !== null;
  if (accepted && !f.deceived)
    return [
      `  ${pad(label, LABEL)}${pc.green(`harmless: ${arrival(forged)}, an interrupt of ${attacker} itself`)}`,
      ...hops(forged.route.slice(-3), '      ', WIDTH),
    ];
  const code = forged.blocked?.code ? ` (${forged.blocked.code})` : '';
  const what = accepted
    ? pc.yellow(`accepted: ${arrival(forged)}; ${attacker} interrupts in the name of ${victim}`)
    : pc.green(`blocked: ${forged.blocked?.name ?? 'nothing arrived'}${code}`);
  const decides = forged.route.filter((h) => h.at === forged.route.at(-1)?.at);
  const why = accepted ? [`      ${pc.dim(f.setting)}`] : hops(decides.slice(-3), '      ', WIDTH);
  return [`  ${pad(label, LABEL)}${what}`, ...why];
}
