import { getAddress, getAt } from '@doorbell/bits';
import type { PhysicalMemory, TableExtent } from '@doorbell/platform';
import { SLPTE } from '@doorbell/x86-paging/spec';
import { CONTEXT_ENTRY, levelsOf, ROOT_ENTRY, TranslationType } from '../spec/index.js';
import { TableReader } from './memory.js';
import type { VtdUnit } from './unit.js';

const PAGE = 4096;

/** Root table, context tables, second-stage tables, interrupt remapping table: whatever a unit in legacy mode may read. */
export function* tablesOf(unit: VtdUnit, memory: PhysicalMemory): Generator<TableExtent> {
  const { dma, interrupts } = unit;
  if (interrupts.table >= 0)
    yield { what: 'interrupt remapping table', at: interrupts.table, size: interrupts.entries * 16 };
  if (dma.mode !== 0 || dma.root === 0) return;
  const reader = new TableReader(memory);
  const seen = new Set<number>();
  yield { what: 'root table', at: dma.root, size: PAGE };
  for (let bus = 0; bus < 256; bus++) {
    if (!reader.read128(dma.root + 16 * bus) || !getAt(reader.words, 0, ROOT_ENTRY.P)) continue;
    const contexts = getAddress(reader.words, 0, ROOT_ENTRY.CTP);
    if (seen.has(contexts)) continue;
    seen.add(contexts);
    yield { what: 'context table', at: contexts, size: PAGE };
    for (let devfn = 0; devfn < 256; devfn++) {
      if (!reader.read128(contexts + 16 * devfn) || !getAt(reader.words, 0, CONTEXT_ENTRY.P)) continue;
      if (getAt(reader.words, 0, CONTEXT_ENTRY.TT) === TranslationType.passThrough) continue;
      const top = getAddress(reader.words, 0, CONTEXT_ENTRY.SLPTPTR);
      yield* below(memory, top, Math.min(levelsOf(getAt(reader.words, 0, CONTEXT_ENTRY.AW)), 5), seen);
    }
  }
}

/** A second-stage table and those below it; one that was seen at this level is not entered again, so circles end. */
function* below(memory: PhysicalMemory, at: number, level: number, seen: Set<number>): Generator<TableExtent> {
  const key = at + level; // tables are pages: the low bits are free
  if (seen.has(key) || !memory.contains(at, PAGE)) return;
  seen.add(key);
  yield { what: `second-level table, level ${level}`, at, size: PAGE };
  if (level === 1) return;
  const entry = new Uint32Array(2);
  for (let i = 0; i < 512; i++) {
    memory.readWords(at + 8 * i, entry);
    const leads = (entry[0]! & (SLPTE.R.mask | SLPTE.W.mask)) !== 0 && !getAt(entry, 0, SLPTE.PS);
    if (leads)
      yield* below(memory, (entry[1]! & 0x000f_ffff) * 2 ** 32 + ((entry[0]! & 0xffff_f000) >>> 0), level - 1, seen);
  }
}
