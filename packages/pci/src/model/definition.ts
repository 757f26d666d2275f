import type { AnyLayout } from '@doorbell/bits';
import { DoorbellError, type Clock, type Diagnostics, type Trace, type Verdict, type Word64 } from '@doorbell/platform';
import type { ConfigSpace } from './config-space.js';
import { barCount, pbaBytes, MSIX_ENTRY_SIZE, Acs } from '../spec/index.js';

/** A memory BAR. `size`: bytes, a power of two of at least 16. */
export interface BarDefinition {
  readonly size: number;
  /** Default 32. */
  readonly width?: 32 | 64;
  readonly prefetchable?: boolean;
}

/** What an access to a BAR does. `size` is 1, 2 or 4, the offset aligned; 8-byte accesses arrive as two where `write64` or `read64` is absent. */
export interface BarHandler {
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
  write64?(offset: number, hi: number, lo: number): void;
  read64?(offset: number, into: Word64): void;
}

/** The device behind the function: what its registers do, and its state. */
export interface FunctionBehaviour {
  /** By BAR number. A BAR without handler reads 0 and drops writes. */
  readonly bars?: Readonly<Record<number, BarHandler>>;
  reset?(): void;
  snapshot?(): unknown;
  restore?(state: unknown): void;
}

/** How a device reaches the world. Everything is a real transaction, gated by the command register as in hardware. */
export interface FunctionPort {
  readonly name: string;
  /** Bus, device and function as configured now. */
  readonly requester: number;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly trace: Trace;
  /**
   * An event of MSI-X or MSI vector `vector`: the message is sent, or its pending bit set while masked. False: neither
   * capability is enabled (a device then asserts INTx).
   */
  fire(vector: number): boolean;
  /** The cause of an event went away before its message was sent: clears the pending bit. */
  withdraw(vector: number): void;
  readonly msiEnabled: boolean;
  readonly msixEnabled: boolean;
  /** Asserts or deasserts the function's interrupt pin. */
  intx(asserted: boolean): void;
  readonly dma: DmaPort;
  /** Its configuration space, for devices with registers of their own there. */
  readonly config: ConfigSpace;
}

/** Memory requests of a function. Addresses are (hi, lo). `pasid` and `kind` need PASID and ATS enabled. */
export interface DmaPort {
  /** Whether something took the last access. */
  readonly landed: boolean;
  read(hi: number, lo: number, into: Uint8Array, pasid?: number, kind?: number): Verdict;
  write(hi: number, lo: number, from: Uint8Array, pasid?: number, kind?: number): Verdict;
  /** An aligned DWORD write: the shape of an MSI. */
  write32(hi: number, lo: number, value: number, pasid?: number, kind?: number): Verdict;
  /** Puts another requester id on all further requests; -1: its own. For functions that misbehave. */
  spoof(requester: number): void;
}

/** A register of the device's own in configuration space. */
export interface OwnRegister {
  readonly layout: AnyLayout;
  /** Byte offset; of a capability's register: from its header. Default `layout.$.at`. */
  readonly at?: number;
  /** Power-on values of its words beside the layout's. */
  readonly values?: readonly number[];
}

/** A capability of the device's own in the standard list: header dword (bits 31:16 free) and registers behind it. */
export interface OwnCapability {
  readonly id: number;
  /** Bytes, the header included. */
  readonly length: number;
  /** Bits 31:16 of the header. */
  readonly header?: number;
  readonly registers?: readonly OwnRegister[];
}

export interface MsiDefinition {
  readonly vectors: 1 | 2 | 4 | 8 | 16 | 32;
  /** Default true. */
  readonly address64?: boolean;
  /** Default false. */
  readonly perVectorMasking?: boolean;
}

export interface MsixDefinition {
  /** 1 to 2048. */
  readonly vectors: number;
  /** Which BAR holds table and PBA; default: BAR 4, which is made for them if the definition has none. */
  readonly bar?: number;
  /** Offsets in that BAR. Default 0, and the page after the table. */
  readonly table?: number;
  readonly pba?: number;
}

/** A kind of PCI function: what its configuration space shows and what it does. */
export interface FunctionDefinition {
  readonly name: string;
  readonly vendor: number;
  readonly device: number;
  readonly subsystem?: { readonly vendor: number; readonly device: number };
  /** 24 bits: base class, subclass, interface. */
  readonly classCode: number;
  readonly revision?: number;
  /** Interrupt pin: 0 none (default), 1 INTA … 4 INTD. */
  readonly pin?: 0 | 1 | 2 | 3 | 4;
  readonly bars?: Readonly<Record<number, BarDefinition>>;
  readonly msi?: MsiDefinition;
  readonly msix?: MsixDefinition;
  /** Default true: an endpoint (an integrated one on the root bus). False: conventional PCI, 256 bytes of configuration. A number: that type (`PortType`). */
  readonly pcie?: boolean | number;
  /** Bits of `Acs` that the function implements. Absent: no ACS capability. */
  readonly acs?: number;
  readonly ats?: boolean;
  readonly pri?: { readonly capacity: number };
  readonly pasid?: { readonly width: number; readonly execute?: boolean; readonly privileged?: boolean };
  readonly registers?: readonly OwnRegister[];
  readonly capabilities?: readonly OwnCapability[];
  /** Where the capability list starts. Default 0x40. */
  readonly firstCapability?: number;
  /** Its requests carry this device.function (8 bits) instead of its own: a known fault of some functions. */
  readonly dmaAlias?: number;
  create?(port: FunctionPort): FunctionBehaviour;
}

/** A bridge: what it is, and what stands below it. */
export interface BridgeDefinition extends FunctionDefinition {
  readonly bridge: true;
  readonly children: readonly Placed[];
  /** Bus numbers that firmware left; default none (0). */
  readonly buses?: { readonly secondary: number; readonly subordinate: number };
}

/** A function and where it stands on its bus. */
export interface Placed {
  readonly slot: number;
  readonly fn: number;
  readonly definition: FunctionDefinition | BridgeDefinition;
}

/** A function at `device.function` of its bus: `at('05.0', edu())`. Hexadecimal, as lspci. Errors: `BAD_FUNCTION`. */
export function at(place: string, definition: FunctionDefinition | BridgeDefinition): Placed {
  const m = /^([0-9a-f]{1,2})(?:\.([0-7]))?$/i.exec(place);
  const slot = m ? parseInt(m[1]!, 16) : 32;
  if (slot > 31) throw bad(definition.name, `cannot stand at "${place}"`, 'name a place as device.function: 05.0');
  return { slot, fn: Number(m?.[2] ?? 0), definition };
}

/**
 * Checks a function's definition and fills in what was left out. The result describes a kind: it may be placed many times.
 * Errors: `BAD_FUNCTION` naming what cannot be.
 */
export function definePciFunction<D extends FunctionDefinition>(definition: D): D {
  const { name } = definition;
  const msix = definition.msix && completeMsix(name, definition.msix);
  const bars: Record<number, BarDefinition> = { ...definition.bars };
  if (msix) {
    const room = powerOfTwo(msix.pba + Math.max(pbaBytes(msix.vectors), 0x1000));
    bars[msix.bar] ??= { size: Math.max(room, 0x1000) };
  }
  checkIdentity(definition);
  checkBars(name, bars, 'bridge' in definition ? 1 : 0);
  if (msix && !fits(msix, bars[msix.bar]!.size))
    throw bad(name, `has no room for ${msix.vectors} MSI-X vectors in BAR ${msix.bar}`, 'make the BAR larger');
  if (definition.msi && ![1, 2, 4, 8, 16, 32].includes(definition.msi.vectors))
    throw bad(name, `offers ${definition.msi.vectors} MSI vectors`, 'use a power of two up to 32');
  const extended = definition.acs ?? definition.ats ?? definition.pri ?? definition.pasid;
  if (definition.pcie === false && extended !== undefined)
    throw bad(name, 'has extended capabilities without PCI Express', 'leave out pcie: false');
  if (definition.acs !== undefined && definition.acs & ~(Acs.SV | Acs.TB | Acs.RR | Acs.CR | Acs.UF | Acs.DT))
    throw bad(name, 'offers ACS bits that are not modelled (egress control)', 'use SV, TB, RR, CR, UF, DT');
  return Object.freeze({ ...definition, bars, ...(msix && { msix }) });
}

/** What its header and capabilities say of it has to fit their fields. */
function checkIdentity({ name, vendor, device, classCode, pin = 0, pasid }: FunctionDefinition): void {
  const fields = [
    ['vendor id', vendor, 0, 0xffff],
    ['device id', device, 0, 0xffff],
    ['class code', classCode, 0, 0xff_ffff],
    ['interrupt pin', pin, 0, 4],
    ['PASID width', pasid?.width ?? 1, 1, 20],
  ] as const;
  for (const [what, value, least, most] of fields)
    if (!(Number.isInteger(value) && value >= least && value <= most))
      throw bad(name, `cannot have ${what} ${value}`, `use ${least} to ${most}`);
}

const completeMsix = (name: string, msix: MsixDefinition): Required<MsixDefinition> => {
  const { vectors, bar = 4, table = 0 } = msix;
  if (!Number.isInteger(vectors) || vectors < 1 || vectors > 2048)
    throw bad(name, `offers ${vectors} MSI-X vectors`, 'use 1 to 2048');
  const pba = msix.pba ?? Math.ceil((table + vectors * MSIX_ENTRY_SIZE) / 0x1000) * 0x1000;
  if (table % 8 || pba % 8) throw bad(name, 'has an MSI-X table or PBA off its 8-byte boundary', 'align both');
  return { vectors, bar, table, pba };
};

function fits({ table, pba, vectors }: Required<MsixDefinition>, size: number): boolean {
  const t = table + vectors * MSIX_ENTRY_SIZE;
  const p = pba + pbaBytes(vectors);
  return t <= size && p <= size && (t <= pba || p <= table);
}

function checkBars(name: string, bars: Readonly<Record<number, BarDefinition>>, headerLayout: number): void {
  const count = barCount(headerLayout);
  for (const [key, bar] of Object.entries(bars)) {
    const n = Number(key);
    const last = n + (bar.width === 64 ? 1 : 0);
    if (!Number.isInteger(n) || n < 0 || last >= count)
      throw bad(name, `has no BAR ${key} of ${bar.width ?? 32} bits`, `a function of this kind has ${count} BARs`);
    if (bar.width === 64 && bars[last]) throw bad(name, `BAR ${last} is the high half of BAR ${n}`, 'move it');
    if (
      bar.size !== powerOfTwo(bar.size) ||
      bar.size < 16 ||
      (bar.width !== 64 && bar.size > 2 ** 31) ||
      bar.size > 2 ** 48
    )
      throw bad(
        name,
        `BAR ${n} cannot have ${bar.size} bytes`,
        'use a power of two of at least 16 that its width can hold',
      );
  }
}

const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(n));

const bad = (name: string, what: string, remedy: string): DoorbellError =>
  new DoorbellError('BAD_FUNCTION', `${name} ${what}`, remedy, { function: name });
