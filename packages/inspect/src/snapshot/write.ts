import { basename, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { CaptureContribution, PhysicalMemory, TableExtent } from '@doorbell/platform';
import { blocksIn } from '../capture/registers.js';
import { openCapture } from '../capture/open.js';
import { restoreCapture, type Restored } from '../platform.js';
import { refuse } from '../errors.js';
import { FORMAT, VERSION, type SnapshotFile } from './format.js';

const PAGE = 4096;

/** Reads a capture and keeps what answers depend on. Errors: as `openSession`; `NO_BACKEND` where a unit's tables cannot be told from other memory. */
export async function takeSnapshot(
  directory: string,
  contributions: readonly CaptureContribution[],
): Promise<SnapshotFile> {
  const capture = await openCapture(directory);
  const restored = await restoreCapture(capture, contributions);
  const { platform, unmodelled } = restored;
  if (unmodelled.size > 0)
    throw refuse(
      'NO_BACKEND',
      `no configured plugin models ${[...unmodelled.values()].map((n) => `${n.name} (${n.compatible})`).join(', ')}`,
      'add a plugin with a `capture` to doorbell.config.js',
      { units: [...unmodelled.keys()] },
    );
  const extents = extentsOf(restored, contributions);
  const pages = pagesOf(platform.memoryModel, extents);
  const kept = Object.values(pages).reduce((n, page) => n + page.length / 2, 0);
  const all = capture.image.banks.reduce((n, b) => n + b.size, 0);
  return {
    format: FORMAT,
    version: VERSION,
    source: basename(resolve(directory)),
    nodes: restored.source,
    banks: capture.image.banks,
    requesters: capture.requesters.table,
    registers: trimmed(capture.registers),
    extents,
    pages,
    leftOut: [
      `memory that is no table: ${all - kept} of ${all} bytes`,
      'configuration space and BARs of PCI functions (their ids and aliases are kept)',
      'registers of blocks that take part in no answer',
      'command queues',
      ...unread(restored),
    ],
    problems: capture.problems,
  };
}

/** Tables of units in modes that their models do not know cannot be told from other memory. */
const unread = ({ unitProblems }: Restored): string[] =>
  [...unitProblems].flatMap(([name, problems]) =>
    problems
      .filter((p) => p.startsWith('NOT_MODELLED'))
      .map((p) => `tables of ${name} that its model does not read: ${p}`),
  );

/** The file's bytes. */
export const encodeSnapshot = (file: SnapshotFile, plain = false): Uint8Array => {
  const text = JSON.stringify(file, null, plain ? 1 : 0) + '\n';
  return plain ? Buffer.from(text) : gzipSync(text, { level: 9 });
};

/** Every block's tables, in ascending order, each address once. */
function extentsOf({ platform, nodes }: Restored, contributions: readonly CaptureContribution[]): TableExtent[] {
  const found = new Map<number, TableExtent>();
  for (const node of nodes) {
    const model = platform.model(node.name);
    const c = contributions.find((x) => x.compatible.includes(node.compatible));
    if (!model || !c?.tables) continue;
    for (const e of c.tables(model, platform.memoryModel)) {
      const before = found.get(e.at);
      if (!before || before.size < e.size) found.set(e.at, e);
    }
  }
  return [...found.values()].sort((a, b) => a.at - b.at);
}

function pagesOf(memory: PhysicalMemory, extents: readonly TableExtent[]): Record<string, string> {
  const pages: Record<string, string> = {};
  for (const { at, size } of extents)
    for (let from = at; from < at + size; ) {
      const n = Math.min(PAGE - (from % PAGE), at + size - from);
      if (memory.contains(from, n)) {
        const bytes = new Uint8Array(n);
        memory.readBytes(from, bytes);
        let end = n;
        while (end > 0 && bytes[end - 1] === 0) end--;
        if (end > 0) pages[`0x${from.toString(16)}`] = Buffer.from(bytes.subarray(0, end)).toString('hex');
      }
      from += n;
    }
  return pages;
}

/** Only blocks of registers: no configuration spaces, no listings. */
function trimmed(registers: unknown): unknown {
  const blocks = blocksIn(registers).map(({ kind, base, words, registers: named, named: byName }) => ({
    ...(kind !== undefined && { kind }),
    ...(base !== undefined && { base }),
    ...(words !== undefined && { words }),
    ...(named !== undefined && { registers: named }),
    ...(words === undefined && byName !== undefined && { named: byName }),
  }));
  return blocks.length === 1 ? blocks[0] : { blocks };
}
