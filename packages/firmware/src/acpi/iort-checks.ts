import { hex, overlaps64 } from '../bytes.js';
import type { FindingCode } from '../findings/index.js';
import { nodeName, type IortMapping, type IortNode, type IortTable } from './iort.js';
import type { MadtTable } from './madt.js';

/** What is wrong with an IORT that could be read; with a MADT also which ITS ids exist. */
export function checkIort(t: IortTable, madt: MadtTable | null): void {
  const { found } = t;
  const byOffset = new Map(t.nodes.map((n) => [n.offset, n]));
  const used = new Set<IortNode>();
  for (const node of t.nodes) {
    for (const m of node.mappings) {
      const target = byOffset.get(m.target);
      const what = rangeName(node, m);
      if (target === undefined)
        found('IORT_BAD_REFERENCE', m.offset + 12, `${what} points at ${m.target}, where no node starts`);
      else if (
        target.kind !== 'smmuv2' &&
        target.kind !== 'smmuv3' &&
        target.kind !== 'its-group' &&
        target.kind !== 'iwb'
      ) {
        found('IORT_WRONG_TARGET', m.offset + 12, `${what} points at ${nodeName(target)}`);
      } else used.add(target);
      if (m.inputBase + m.count > 2 ** 32 || m.outputBase + m.count > 2 ** 32) found('IORT_ID_WRAPS', m.offset, what);
    }
    checkRanges(node, t);
    if (leadsToItself(node, byOffset))
      found('IORT_CYCLE', node.offset, `the mappings of ${nodeName(node)} lead back to it`);
    if (node.kind === 'smmuv3' && node.msiMapping !== null && node.msiMapping >= node.mappings.length) {
      found(
        'IORT_MSI_INDEX',
        node.offset + 64,
        `${nodeName(node)}: mapping ${node.msiMapping} of ${node.mappings.length}`,
      );
    }
    if (node.kind === 'its-group' && madt !== null) {
      node.its.forEach((id, i) => {
        if (!madt.its.some((x) => x.id === id))
          found('IORT_ITS_UNKNOWN', node.offset + 20 + 4 * i, `ITS group names ITS ${id}`);
      });
    }
  }
  checkOutputs(t);
  checkSmmus(t, used);
  checkRmrs(t);
  if (t.nodes.length > 0 && !t.nodes.some((n) => n.kind === 'its-group'))
    found('IORT_NO_ITS', 36, 'the table has no ITS group');
}

const inputOf = (m: IortMapping) => ({ first: m.inputBase, last: m.inputBase + m.count - 1 });
const rangeName = (node: IortNode, m: IortMapping): string => `${nodeName(node)} ${hex(m.inputBase)}+${m.count}`;
const outputOf = (m: IortMapping) => ({ first: m.outputBase, last: m.outputBase + m.count - 1 });

const meet = (a: { first: number; last: number }, b: { first: number; last: number }): boolean =>
  a.first <= b.last && b.first <= a.last;

/** Input ranges that meet. A meeting of exactly one id is the count stored without "minus one". */
function checkRanges(node: IortNode, t: IortTable): void {
  const ranges = node.mappings.filter((m) => !m.single).sort((a, b) => a.inputBase - b.inputBase);
  ranges.forEach((m, i) => {
    const what = rangeName(node, m);
    // A requester id has 16 bits: 0x10000 + 1 ids is the same mistake without a neighbour.
    if (node.kind === 'root-complex' && inputOf(m).last === 0x10000) {
      t.found('IORT_ID_COUNT_OFF_BY_ONE', m.offset + 4, `${what} ends at 0x10000, one beyond the last requester id`);
    }
    const next = ranges[i + 1];
    if (next && inputOf(m).last >= next.inputBase) {
      const common = inputOf(m).last - next.inputBase + 1;
      const code: FindingCode = common === 1 && m.count > 1 ? 'IORT_ID_COUNT_OFF_BY_ONE' : 'IORT_ID_OVERLAP';
      t.found(
        code,
        m.offset + 4,
        `${what} and ${hex(next.inputBase)}+${next.count} share ${common === 1 ? 'one id' : 'ids'}`,
      );
    }
  });
}

/** Functions of root complexes that one SMMU or ITS would see under one id. */
function checkOutputs(t: IortTable): void {
  const all = t.nodes.flatMap((node) =>
    node.kind === 'root-complex' ? node.mappings.filter((m) => !m.single).map((m) => ({ node, m })) : [],
  );
  all.forEach(({ node, m }, i) => {
    const shared = all.slice(0, i).find((o) => {
      // The same functions twice are an overlap of inputs.
      const others = o.node.segment !== node.segment || !meet(inputOf(o.m), inputOf(m));
      return others && o.m.target === m.target && meet(outputOf(o.m), outputOf(m));
    });
    if (shared)
      t.found(
        'IORT_OUTPUT_OVERLAP',
        m.offset + 8,
        `${rangeName(node, m)} and ${rangeName(shared.node, shared.m)} have outputs in common`,
      );
  });
}

function leadsToItself(start: IortNode, byOffset: ReadonlyMap<number, IortNode>): boolean {
  const seen = new Set<IortNode>();
  const next = [start];
  while (next.length > 0) {
    for (const m of next.pop()!.mappings) {
      const target = byOffset.get(m.target);
      if (target === start) return true;
      if (target && !seen.has(target)) {
        seen.add(target);
        next.push(target);
      }
    }
  }
  return false;
}

function checkSmmus(t: IortTable, used: ReadonlySet<IortNode>): void {
  const smmus = t.nodes.filter((n) => n.kind === 'smmuv2' || n.kind === 'smmuv3');
  smmus.forEach((s, i) => {
    const at = s.offset + 16;
    // SMMU register pages are 4 KiB (v1/v2) or 64 KiB (v3) aligned.
    const align = s.kind === 'smmuv3' ? 0xffffn : 0xfffn;
    if (s.base === 0n || (s.base & align) !== 0n) t.found('IORT_SMMU_BASE', at, nodeName(s));
    if (smmus.findIndex((o) => o.base === s.base) < i) t.found('IORT_SMMU_BASE_TWICE', at, nodeName(s));
    if (!used.has(s)) t.found('IORT_SMMU_UNUSED', s.offset, nodeName(s));
  });
}

function checkRmrs(t: IortTable): void {
  const all = t.nodes.flatMap((n) => (n.kind === 'rmr' ? n.ranges : []));
  all.forEach((r, i) => {
    const what = `RMR ${hex(r.base)}+${hex(r.length)}`;
    if (r.length === 0n) {
      t.found('IORT_RMR_EMPTY', r.offset + 8, what);
      return;
    }
    if ((r.base & 0xffffn) !== 0n || (r.length & 0xffffn) !== 0n) t.found('IORT_RMR_UNALIGNED', r.offset, what);
    const meets = (o: typeof r) =>
      o.length > 0n &&
      overlaps64({ first: o.base, last: o.base + o.length - 1n }, { first: r.base, last: r.base + r.length - 1n });
    const other = all.slice(0, i).find(meets);
    if (other)
      t.found('IORT_RMR_OVERLAP', r.offset, `${what} and ${hex(other.base)}+${hex(other.length)} at ${other.offset}`);
  });
}
