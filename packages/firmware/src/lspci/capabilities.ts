import type { DumpedFunction } from './dump.js';

/** PCI Local Bus 3.0 6.1: the header layouts. */
export type HeaderLayout = 'endpoint' | 'bridge' | 'cardbus';

/** `null`: beyond the bytes of the dump, hence unknown. */
export interface FunctionFacts {
  readonly source: DumpedFunction;
  readonly id: string | null;
  /** Base class and subclass, four digits. */
  readonly class: string | null;
  readonly layout: HeaderLayout | null;
  readonly multifunction: boolean | null;
  /** Bridges: their other side. */
  readonly secondary: number | null;
  readonly subordinate: number | null;
  readonly msi: number | null;
  readonly msix: number | null;
  /** Device/port type of the PCI Express capability; -1: conventional PCI. */
  readonly pcieType: number | null;
  /** ACS capability and control bits; false: no such capability. */
  readonly acs: { readonly capability: number; readonly control: number } | false | null;
  /** All ones everywhere. */
  readonly unreadable: boolean;
  readonly problems: readonly {
    readonly code: 'PCI_CAPABILITY_LOOP' | 'PCI_CAPABILITY_POINTER';
    readonly message: string;
  }[];
}

const u16 = (c: Uint8Array, at: number): number => c[at]! | (c[at + 1]! << 8);
const u32 = (c: Uint8Array, at: number): number => (u16(c, at) | (u16(c, at + 2) << 16)) >>> 0;
const hex4 = (n: number): string => n.toString(16).padStart(4, '0');

const CAP_MSI = 0x05;
const CAP_EXPRESS = 0x10;
const CAP_MSIX = 0x11;
const EXT_ACS = 0x0d;

/**
 * What the bytes of a function say. `deep`: some function of the dump has more than 256 bytes, so one that has 256
 * has no more to show.
 */
export function readFacts(f: DumpedFunction, deep: boolean): FunctionFacts {
  const c = f.config;
  const problems: FunctionFacts['problems'][number][] = [];
  const unreadable = c.length >= 64 && c.every((b) => b === 0xff);
  if (c.length < 64 || unreadable) return { ...unknownFacts(f), unreadable, problems };
  const type = c[0x0e]! & 0x7f;
  const layout: HeaderLayout = type === 1 ? 'bridge' : type === 2 ? 'cardbus' : 'endpoint';
  const caps = standardCapabilities(c, layout, problems, f.bdf);
  const express = caps?.get(CAP_EXPRESS);
  const pcieType =
    caps === null
      ? null
      : express === undefined
        ? -1
        : express + 4 <= c.length
          ? (u16(c, express + 2) >> 4) & 0xf
          : null;
  const msi = caps?.get(CAP_MSI);
  const msix = caps?.get(CAP_MSIX);
  return {
    source: f,
    id: `${hex4(u16(c, 0))}:${hex4(u16(c, 2))}`,
    class: hex4(u16(c, 0x0a)),
    layout,
    multifunction: (c[0x0e]! & 0x80) !== 0 || f.function > 0,
    secondary: layout === 'endpoint' ? null : c[0x19]!,
    subordinate: layout === 'endpoint' ? null : c[0x1a]!,
    msi:
      caps === null
        ? f.textMsi
        : msi === undefined
          ? 0
          : msi + 4 <= c.length
            ? 1 << ((u16(c, msi + 2) >> 1) & 7)
            : f.textMsi,
    msix:
      caps === null
        ? f.textMsix
        : msix === undefined
          ? 0
          : msix + 4 <= c.length
            ? (u16(c, msix + 2) & 0x7ff) + 1
            : f.textMsix,
    pcieType,
    acs: readAcs(c, pcieType, deep, problems, f.bdf),
    unreadable: false,
    problems,
  };
}

function unknownFacts(f: DumpedFunction): Omit<FunctionFacts, 'unreadable' | 'problems'> {
  return {
    source: f,
    id: f.textId,
    class: f.textClass,
    layout: f.textBuses === null ? null : 'bridge',
    multifunction: f.function > 0 ? true : null,
    secondary: f.textBuses?.secondary ?? null,
    subordinate: f.textBuses?.subordinate ?? null,
    msi: f.textMsi,
    msix: f.textMsix,
    pcieType: null,
    acs: null,
  };
}

/** id → offset of the first one. Null if the list leads beyond the bytes that are there. */
function standardCapabilities(
  c: Uint8Array,
  layout: HeaderLayout,
  problems: FunctionFacts['problems'][number][],
  bdf: string,
): Map<number, number> | null {
  const caps = new Map<number, number>();
  if ((u16(c, 0x06) & 0x10) === 0) return caps;
  const seen = new Set<number>();
  let at = c[layout === 'cardbus' ? 0x14 : 0x34]! & 0xfc;
  while (at !== 0) {
    if (at < 0x40) {
      problems.push({ code: 'PCI_CAPABILITY_POINTER', message: `${bdf}: capability at 0x${at.toString(16)}` });
      break;
    }
    if (at + 2 > c.length) return null;
    if (seen.has(at)) {
      problems.push({ code: 'PCI_CAPABILITY_LOOP', message: `${bdf}: the list leads back to 0x${at.toString(16)}` });
      break;
    }
    seen.add(at);
    if (c[at] === 0xff) break; // an unimplemented tail reads as ones
    if (!caps.has(c[at]!)) caps.set(c[at]!, at);
    at = c[at + 1]! & 0xfc;
  }
  return caps;
}

/** Extended capabilities start at 0x100; conventional functions have none. */
function readAcs(
  c: Uint8Array,
  pcieType: number | null,
  deep: boolean,
  problems: FunctionFacts['problems'][number][],
  bdf: string,
): FunctionFacts['acs'] {
  if (pcieType === -1) return false;
  if (c.length < 0x104) return pcieType !== null && deep && c.length === 256 ? false : null;
  const seen = new Set<number>();
  let at = 0x100;
  while (at !== 0) {
    if (at < 0x100) {
      problems.push({ code: 'PCI_CAPABILITY_POINTER', message: `${bdf}: extended capability at 0x${at.toString(16)}` });
      return false;
    }
    if (at + 4 > c.length) return null;
    if (seen.has(at)) {
      problems.push({
        code: 'PCI_CAPABILITY_LOOP',
        message: `${bdf}: the extended list leads back to 0x${at.toString(16)}`,
      });
      return false;
    }
    seen.add(at);
    const header = u32(c, at);
    if (header === 0 || header === 0xffffffff) return false;
    if ((header & 0xffff) === EXT_ACS)
      return at + 8 <= c.length ? { capability: u16(c, at + 4), control: u16(c, at + 6) } : null;
    at = (header >>> 20) & 0xffc;
  }
  return false;
}
