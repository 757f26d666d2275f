import { get } from '@doorbell/bits';
import { ABSENT, CAPABILITIES_POINTER, COMMAND, MISC } from './header.js';
import { CAP_HEADER, EXT_HEADER, EXTENDED, MAX_CAPABILITIES, MAX_EXTENDED_CAPABILITIES } from './pcie.js';

/** Reads an aligned dword of one function's configuration space; all ones (or zero) where there is none. */
export type ConfigReader = (offset: number) => number;

export interface Capability {
  readonly id: number;
  /** Byte offset of the header. */
  readonly offset: number;
  readonly extended: boolean;
}

/**
 * Both capability lists, in list order. Bounded by a step count and by not visiting an offset twice, so that loops and
 * garbage end: a header of all ones, or a pointer into the standard header, ends the list. `extended` false leaves out
 * the list at 0x100 (it is unreachable behind a conventional bridge, PCIe Base §7.2).
 */
export function walkCapabilities(read: ConfigReader, extended = true): Capability[] {
  const found: Capability[] = [];
  const layoutOf = get(read(MISC.$.at), MISC.HeaderLayout);
  if (get(read(COMMAND.$.at), COMMAND.CapabilitiesList) && layoutOf <= 1) {
    const seen = new Set<number>();
    let at = get(read(CAPABILITIES_POINTER.$.at), CAPABILITIES_POINTER.Pointer) & ~3;
    for (let n = 0; n < MAX_CAPABILITIES && at >= 0x40 && !seen.has(at); n++) {
      seen.add(at);
      const header = read(at) >>> 0;
      if ((header & 0xffff) === 0xffff) break;
      found.push({ id: get(header, CAP_HEADER.Id), offset: at, extended: false });
      at = get(header, CAP_HEADER.Next) & ~3;
    }
  }
  if (!extended) return found;
  const seen = new Set<number>();
  let at = EXTENDED;
  for (let n = 0; n < MAX_EXTENDED_CAPABILITIES && at >= EXTENDED && !seen.has(at); n++) {
    seen.add(at);
    const header = read(at) >>> 0;
    if (header === 0 || header === ABSENT) break;
    found.push({ id: get(header, EXT_HEADER.Id), offset: at, extended: true });
    at = get(header, EXT_HEADER.Next) & ~3;
  }
  return found;
}

/** Offset of the first capability of a kind; 0 where there is none. */
export const findCapability = (list: readonly Capability[], id: number, extended = false): number =>
  list.find((c) => c.id === id && c.extended === extended)?.offset ?? 0;
