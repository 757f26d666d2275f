import { get, set } from '@doorbell/bits';
import { hi32, join64, lo32, type Range } from '@doorbell/platform';
import {
  BAR,
  BAR_64,
  barCount,
  COMMAND,
  MEMORY_WINDOW,
  PREFETCH_BASE_UPPER,
  PREFETCH_LIMIT_UPPER,
  PREFETCH_WINDOW,
} from '../spec/index.js';
import type { Bar, PciDevice } from './device.js';
import type { Scan } from './enumerate.js';

const MIB = 2 ** 20;
const FOUR_GIB = 2 ** 32;
const DECODE = COMMAND.IoSpace.mask | COMMAND.MemorySpace.mask;

/** Something that needs a range: a BAR, or a bridge's window with everything below. */
interface Need {
  readonly size: number;
  readonly align: number;
  /** Gives it an address; -1: none was left. */
  place(address: number): void;
}

/** What one bus needs from each of a bridge's two windows. */
interface Demand {
  readonly memory: Need[];
  readonly prefetch: Need[];
}

/** Sizes every BAR by writing all ones (PCI 3.0 §6.2.5.1), with decoding off meanwhile; everything is put back. */
export function sizeBars(d: PciDevice): void {
  const before = d.setCommand(DECODE, 0);
  for (let n = 0; n < barCount(d.isBridge ? 1 : 0); n++) {
    const at = BAR.$.at + 4 * n;
    const low = probe(d, at);
    if (get(low.old, BAR.Io)) continue; // I/O space: not used
    const wide = get(low.old, BAR.Type) === BAR_64;
    const mask = (low.mask & ~0xf) >>> 0;
    const high = wide ? probe(d, at + 4).mask : 0xffff_ffff;
    if (mask === 0 && (!wide || high === 0)) {
      if (wide) n++;
      continue;
    }
    // The lowest bit that can be set is the size.
    const size = mask ? (mask & -mask) >>> 0 : ((high & -high) >>> 0) * FOUR_GIB;
    d.bars[n] = {
      index: n,
      width: wide ? 64 : 32,
      prefetchable: get(low.old, BAR.Prefetchable) === 1,
      size,
      address: -1,
    };
    if (wide) n++;
  }
  d.setCommand(DECODE, before);
}

function probe(d: PciDevice, at: number): { old: number; mask: number } {
  const old = d.read(at);
  d.write(at, 0xffff_ffff);
  const mask = d.read(at);
  d.write(at, old);
  return { old, mask };
}

/**
 * Gives every BAR an address in the host bridge's windows and opens the bridges' windows around what is below them. What finds no
 * room stays at -1 with decoding off. Returns the names of what got none.
 */
export function assign({ devices, children }: Scan, windows: readonly Range[]): string[] {
  const left: string[] = [];
  const low = windows.filter((w) => w.first < FOUR_GIB).map((w) => new Space(w));
  const high = windows.filter((w) => w.first >= FOUR_GIB).map((w) => new Space(w));
  const top = demand(undefined, children, high.length > 0, left);
  // Alignment downwards: no gap is ever needed between naturally aligned pieces.
  const place = (needs: readonly Need[], spaces: readonly Space[]): void => {
    for (const n of byAlignment(needs)) {
      let address = -1;
      for (const s of spaces) if (address < 0) address = s.take(n.size, n.align);
      n.place(address);
    }
  };
  place(top.memory, low);
  place(top.prefetch, [...high, ...low]);
  for (const d of devices) {
    const usable = d.bars.some((b) => b && b.address >= 0) || d.isBridge;
    if (!usable) continue;
    const bits = COMMAND.MemorySpace.mask | (d.isBridge ? COMMAND.BusMaster.mask : 0);
    d.setCommand(bits, bits); // a bridge forwards its children's requests only as a bus master
  }
  return left;
}

/** What the bus below `parent` needs. `high`: there is a window above 4 GiB for prefetchable 64-bit BARs. */
function demand(parent: PciDevice | undefined, children: Scan['children'], high: boolean, left: string[]): Demand {
  const memory: Need[] = [];
  const prefetch: Need[] = [];
  for (const d of children.get(parent) ?? []) {
    for (const bar of d.bars) {
      if (!bar) continue;
      // A 64-bit BAR may go above 4 GiB only through a 64-bit window, and behind a bridge that one is prefetchable.
      const far = bar.width === 64 && (bar.prefetchable || (parent === undefined && high && bar.size >= FOUR_GIB / 16));
      (far ? prefetch : memory).push({
        size: bar.size,
        align: bar.size,
        place: (address) => {
          if (address < 0) left.push(`${d.name} BAR ${bar.index}`);
          setBar(d, bar, address);
        },
      });
    }
    if (!d.isBridge) continue;
    const below = demand(d, children, high, left);
    const wide = get(d.read(PREFETCH_WINDOW.$.at), PREFETCH_WINDOW.BaseType) === 1;
    memory.push(...window(below.memory, (r) => openMemory(d, r)));
    (wide ? prefetch : memory).push(...window(below.prefetch, (r) => openPrefetch(d, r)));
  }
  return { memory, prefetch };
}

/** A bridge's window as one need of its own bus: whole MiB, its pieces placed inside it. None where nothing is below. */
function window(pieces: readonly Need[], open: (range: Range | null) => void): Need[] {
  if (pieces.length === 0) {
    open(null);
    return [];
  }
  const sorted = byAlignment(pieces);
  const align = Math.max(MIB, sorted[0]!.align);
  let size = 0;
  const offsets = sorted.map((p) => {
    const at = Math.ceil(size / p.align) * p.align;
    size = at + p.size;
    return at;
  });
  size = Math.ceil(size / MIB) * MIB;
  return [
    {
      size,
      align,
      place: (address) => {
        open(address < 0 ? null : { first: address, last: address + size - 1 });
        sorted.forEach((p, i) => p.place(address < 0 ? -1 : address + offsets[i]!));
      },
    },
  ];
}

const byAlignment = (needs: readonly Need[]): Need[] => [...needs].sort((a, b) => b.align - a.align || b.size - a.size);

function setBar(d: PciDevice, bar: Bar, address: number): void {
  d.bars[bar.index] = { ...bar, address };
  const at = BAR.$.at + 4 * bar.index;
  d.write(at, address < 0 ? 0 : lo32(address));
  if (bar.width === 64) d.write(at + 4, address < 0 ? 0 : hi32(address));
}

/** Closed: base above limit. */
function openMemory(d: PciDevice, range: Range | null): void {
  const word = set(0, MEMORY_WINDOW.Base, range ? range.first / MIB : 0xfff);
  d.write(MEMORY_WINDOW.$.at, set(word, MEMORY_WINDOW.Limit, range ? Math.floor(range.last / MIB) : 0));
}

function openPrefetch(d: PciDevice, range: Range | null): void {
  const base = range ? Math.floor(lo32(range.first) / MIB) : 0xfff;
  const limit = range ? Math.floor(lo32(range.last) / MIB) : 0;
  d.write(PREFETCH_WINDOW.$.at, set(set(0, PREFETCH_WINDOW.Base, base), PREFETCH_WINDOW.Limit, limit));
  d.write(PREFETCH_BASE_UPPER.$.at, range ? hi32(range.first) : 0);
  d.write(PREFETCH_LIMIT_UPPER.$.at, range ? hi32(range.last) : 0);
}

/** A window's free part: pieces are taken from the bottom. */
class Space {
  private next: number;
  constructor(private readonly range: Range) {
    this.next = range.first;
  }
  take(size: number, align: number): number {
    const at = Math.ceil(this.next / align) * align;
    if (at + size - 1 > this.range.last) return -1;
    this.next = at + size;
    return at;
  }
}

/** Where a BAR's registers say that it lies. */
export function barAddress(d: PciDevice, index: number): number {
  const at = BAR.$.at + 4 * index;
  const low = d.read(at);
  return join64(get(low, BAR.Type) === BAR_64 ? d.read(at + 4) : 0, (low & ~0xf) >>> 0);
}
