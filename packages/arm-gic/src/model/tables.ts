import { getAddress, getAt, getWide } from '@doorbell/bits';
import type { PhysicalMemory, TableExtent } from '@doorbell/platform';
import { BASER_PAGE, DTE, FIRST_LPI, GITS_BASER, GITS_TYPER, ITE_SIZE, L1E } from '../spec/index.js';
import type { Gicv3 } from './gicv3.js';
import type { Its } from './its.js';

/** LPI configuration and pending tables of every redistributor that has LPIs on. */
export function* lpiTables(gic: Gicv3): Generator<TableExtent> {
  for (const { lpis } of gic.redistributors) {
    if (!lpis.enabled || lpis.limit <= FIRST_LPI) continue;
    yield { what: 'LPI configuration table', at: lpis.propBase, size: lpis.limit - FIRST_LPI };
    yield { what: 'LPI pending table', at: lpis.pendBase, size: lpis.limit / 8 };
  }
}

/** Device table, collection table, ITTs. */
export function* itsTables(its: Its, memory: PhysicalMemory): Generator<TableExtent> {
  const { words } = its.regions[0]!;
  const typer = GITS_TYPER.$.at / 4;
  const collections = tableAt(words, 1);
  if (collections) yield { what: 'collection table', at: collections.base, size: collections.bytes };
  const devices = tableAt(words, 0);
  if (!devices) return;
  const perPage = devices.page / 8;
  // Beyond these ids nothing is looked up, however large the table is.
  const ids = 2 ** (getAt(words, typer, GITS_TYPER.Devbits) + 1);
  if (!devices.indirect) {
    const count = Math.min(devices.bytes / 8, ids);
    yield* devicePage(memory, devices.base, count, 'device table', its.tables.eventBits);
    return;
  }
  const pages = Math.min(devices.bytes / 8, Math.ceil(ids / perPage));
  yield { what: 'level-1 device table', at: devices.base, size: 8 * pages };
  const entry = new Uint32Array(2);
  for (let i = 0; i < pages; i++) {
    if (!read(memory, devices.base + 8 * i, entry) || getAt(entry, 0, L1E.Valid) === 0) continue;
    const at = getAddress(entry, 0, L1E.PA);
    yield* devicePage(memory, at - (at % devices.page), perPage, 'level-2 device table', its.tables.eventBits);
  }
}

function* devicePage(
  memory: PhysicalMemory,
  at: number,
  count: number,
  what: string,
  eventBits: number,
): Generator<TableExtent> {
  yield { what, at, size: 8 * count };
  const dte = new Uint32Array(2);
  for (let i = 0; i < count; i++) {
    if (!read(memory, at + 8 * i, dte) || getAt(dte, 0, DTE.V) === 0) continue;
    const events = 2 ** Math.min(getAt(dte, 0, DTE.Size) + 1, eventBits);
    yield { what: 'interrupt translation table', at: getWide(dte, 0, DTE.ITT) * 256, size: events * ITE_SIZE };
  }
}

function tableAt(words: Uint32Array, n: number) {
  const f = GITS_BASER[n]!;
  const at = f.$.at / 4;
  if (getAt(words, at, f.Valid) === 0) return null;
  const page = BASER_PAGE[getAt(words, at, f.Page_Size)]!;
  const pa = getAddress(words, at, f.PA);
  // 64 KiB pages: PA[51:48] stand in bits 15:12
  const base = page === 0x10000 ? pa - (pa % 0x10000) + ((pa % 0x10000) / 0x1000) * 2 ** 48 : pa;
  return { base, page, bytes: (getAt(words, at, f.Size) + 1) * page, indirect: getAt(words, at, f.Indirect) === 1 };
}

function read(memory: PhysicalMemory, at: number, into: Uint32Array): boolean {
  if (!memory.contains(at, 4 * into.length)) return false;
  memory.readWords(at, into);
  return true;
}
