import { pc } from './colors.js';
import type { RunReport } from '../run/one.js';
import type { Failure } from '../run/build.js';
import type { FunctionReport, Hop, VectorReport } from '../run/drive.js';
import { section } from './table.js';

const VECTORS = 4;

/** What people read: each function with what it was programmed with and where that arrived, one message hop by hop, then what failed. */
export function renderRun(r: RunReport, all: boolean): string {
  const lines = [
    `${pc.bold(pc.underline(r.input))}  ${r.kinds.join(', ') || 'no IOMMU described'}`,
    pc.dim(`  from ${r.platform}`),
  ];
  const rows = r.functions.flatMap((f) => functionRows(f, all));
  if (rows.length > 0)
    lines.push(
      '',
      section(
        'Functions that send MSIs',
        ['function', 'group', 'behind', 'window', 'vector', 'programmed with', 'arrived as'],
        rows,
        Infinity,
      ),
    );
  const shown = all ? r.functions : r.functions.slice(0, 1);
  for (const f of shown)
    for (const v of all ? (f.msi?.vectors ?? []) : (f.msi?.vectors.slice(0, 1) ?? []))
      lines.push('', pc.bold(`${f.bdf}, vector ${v.index}, hop by hop`), ...hops(v.route, '  ', all ? Infinity : 160));
  if (r.notes.length > 0) lines.push('', ...r.notes.map((n) => pc.dim(`  note: ${n}`)));
  lines.push('', summary(r));
  lines.push(...renderFailures(r.failures, all));
  return lines.join('\n');
}

function functionRows(f: FunctionReport, all: boolean): string[][] {
  const name = f.bdf + (f.standIn ? pc.dim(' (stand-in)') : '');
  const group = `${f.group}${f.isolated || f.iommu === null ? '' : pc.yellow(' shared')}`;
  const behind = [f.iommu ?? 'no IOMMU', f.msiController ?? 'no controller'].join(' → ');
  const window = f.window ? `${f.window.base} ${f.window.kind}` : '–';
  const head = [name, group, behind, window];
  if (f.msi === null) return [[...head, pc.red('none'), '', '']];
  const { kind, vectors, offered } = f.msi;
  const some = all ? vectors : vectors.slice(0, VECTORS);
  const out = some.map((v, i) => [
    ...(i === 0 ? head : ['', '', '', '']),
    `${kind} ${v.index}`,
    `${v.address} := ${v.data}`,
    arrival(v),
  ]);
  const hidden = vectors.length - some.length;
  const ok = vectors.every((v) => v.delivered);
  if (hidden > 0)
    out.push(['', '', '', '', pc.dim(`… ${hidden} more`), '', ok ? pc.dim('all arrived') : pc.red('not all arrived')]);
  if (vectors.length < offered) out.push(['', '', '', '', pc.dim(`(${vectors.length} of ${offered} used)`), '', '']);
  return out;
}

/** Where a message went, in one phrase. */
export function arrival(v: Pick<VectorReport, 'delivered' | 'blocked'>): string {
  const d = v.delivered as Readonly<Record<string, string | number>> | null;
  if (d === null) return pc.red(`blocked: ${v.blocked?.name ?? 'nothing arrived'}`);
  if (d['vector'] !== undefined && d['destination'] !== undefined)
    return pc.green(`vector ${d['vector']} at APIC ${d['destination']}`);
  if (d['intid'] !== undefined) return pc.green(`INTID ${d['intid']} at CPU ${d['cpu']}`);
  if (d['source'] !== undefined) return pc.green(`source ${d['source']} at CPU ${d['cpu']}`);
  return pc.green(`${d['controller']} ${JSON.stringify(d)}`);
}

/** The route of one message, a hop per line; `width`: longer lines are cut. */
export function hops(route: readonly Hop[], indent = '  ', width = Infinity): string[] {
  const names = Math.min(28, Math.max(...route.map((h) => h.at.length)));
  return route.map((h) => {
    const room = width - indent.length - Math.max(names, h.at.length) - 2 - h.did.length;
    const cut = h.detail === '' ? '' : `: ${shorten(h.detail, room - 2)}`;
    return `${indent}${pc.cyan(h.at.padEnd(names))}  ${h.did}${pc.dim(cut)}`;
  });
}

/** Cuts what was decoded, and keeps what followed from it: `…; why`. */
function shorten(detail: string, room: number): string {
  if (detail.length <= room) return detail;
  const at = detail.lastIndexOf('; ');
  const why = at < 0 ? '' : detail.slice(at);
  if (at < 0 || why.length + 2 > room) return `${detail.slice(0, Math.max(room - 1, 0))}…`;
  return `${detail.slice(0, room - why.length - 1)}…${why}`;
}

function summary(r: RunReport): string {
  const vectors = r.functions.flatMap((f) => f.msi?.vectors ?? []);
  const arrived = vectors.filter((v) => v.delivered).length;
  const some = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
  const text = `${some(r.functions.length, 'function')}, ${some(vectors.length, 'vector')} enabled, ${arrived} arrived`;
  return arrived === vectors.length && vectors.length > 0 ? pc.green(text) : text;
}

function renderFailures(failures: readonly Failure[], all: boolean): string[] {
  const shown = all ? failures : failures.slice(0, 8);
  const lines = shown.map((f) => `${pc.red(pc.bold(f.code))}  ${f.bdf ? `${f.bdf}: ` : ''}${f.message}`);
  if (shown.length < failures.length)
    lines.push(pc.dim(`… and ${failures.length - shown.length} more failures (--all shows them)`));
  return lines;
}
