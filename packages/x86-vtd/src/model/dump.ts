import { get, getAt } from '@doorbell/bits';
import { capturedBlock, hex } from '@doorbell/platform';
import * as spec from '../spec/index.js';
import { capWords, ecapWords, type VtdConfig, type VtdOptions } from './options.js';

/** 32-bit words by byte offset, and what could not be read. */
export interface RegisterDump {
  readonly words: Map<number, number>;
  readonly problems: string[];
}

const { CAP, ECAP } = spec;

/**
 * Reads a registers.json: the block at `base` (words or registers, whichever it has), else what is alone in the file, else values by name.
 * Never throws.
 */
export function readDump(registers: unknown, base: number | null): RegisterDump {
  const dump = isRecord(registers) ? registers : {};
  const problems: string[] = [];
  const { kind } = dump;
  if (kind !== undefined && kind !== 'vtd')
    problems.push(`these are registers of ${typeof kind === 'string' ? kind : 'something'}, not of a VT-d unit`);
  const theirs = baseOf(registers);
  if (base !== null && theirs !== null && theirs !== base)
    problems.push(`the registers were read at ${hex(theirs)}, this unit is at ${hex(base)}`);
  const block = capturedBlock(
    base === null || theirs !== null ? { ...dump, base: theirs ?? 0 } : registers,
    theirs ?? base ?? 0,
  );
  const words = new Map(block?.words);
  problems.push(...(block?.problems ?? []));
  if (!block && isRecord(dump['named'])) named(dump['named'], words, problems);
  else if (!block) problems.push('there are neither words nor named values');
  for (const register of [CAP, ECAP, spec.GSTS, spec.RTADDR])
    if (!words.has(register.$.at)) problems.push(`${register.$.name} is missing`);
  const remaps = get(words.get(spec.GSTS.$.at) ?? 0, spec.GSTS.IRES) === 1;
  if (remaps && !words.has(spec.IRTA.$.at)) problems.push('messages: IRTA is missing');
  return { words, problems };
}

/** Options of a unit that has these capabilities. `hostAddressWidth` is DMAR's business. */
export function optionsOf(words: ReadonlyMap<number, number>): VtdOptions {
  const cap = pair(words, CAP.$.at);
  const ecap = pair(words, ECAP.$.at);
  const on = (w: Uint32Array, f: Parameters<typeof getAt>[2]) => getAt(w, 0, f) === 1;
  const sagaw = getAt(cap, 0, CAP.SAGAW) & 0b1110;
  const inputBits = getAt(cap, 0, CAP.MGAW) + 1;
  return {
    awBits: sagaw & 8 ? 57 : sagaw & 4 ? 48 : 39,
    sagaw,
    inputBits,
    hostAddressWidth: Math.min(52, Math.max(32, inputBits)),
    cachingMode: on(cap, CAP.CM),
    queuedInvalidation: on(ecap, ECAP.QI),
    interruptRemapping: on(ecap, ECAP.IR),
    extendedInterruptMode: on(ecap, ECAP.EIM),
    passThrough: on(ecap, ECAP.PT),
    deviceTlb: on(ecap, ECAP.DT),
    snoopControl: on(ecap, ECAP.SC),
    zeroLengthReads: on(cap, CAP.ZLR),
    largePages: { m2: on(cap, CAP.SSLPS_2M), g1: on(cap, CAP.SSLPS_1G) },
    pageSelective: on(cap, CAP.PSI),
    protectedMemory: on(cap, CAP.PLMR) || on(cap, CAP.PHMR),
    enhancedSetPointer: on(cap, CAP.ESRTPS),
    faultRecords: getAt(cap, 0, CAP.NFR) + 1,
    faultOffset: spec.froOf(cap[1]!, cap[0]!),
    iotlbOffset: spec.iroOf(ecap[0]!),
  };
}

/** What of a dump this unit cannot reproduce. */
export function mismatches(name: string, config: VtdConfig, words: ReadonlyMap<number, number>): string[] {
  const problems: string[] = [];
  const own = [capWords(config), ecapWords(config)];
  for (const [i, register] of [CAP, ECAP].entries()) {
    if (!words.has(register.$.at)) continue;
    const theirs = pair(words, register.$.at);
    for (const [field, f] of register.$.fields) {
      // Capabilities that only change how invalidations are asked for, or that nobody used, do not matter here.
      if (HARMLESS.has(field) || f.kind !== 'field') continue;
      const [mine, dumped] = [getAt(own[i]!, 0, f), getAt(theirs, 0, f)];
      if (mine !== dumped) problems.push(`${name} has ${register.$.name}.${field} = ${mine}, the capture ${dumped}`);
    }
  }
  const root = words.get(spec.RTADDR.$.at) ?? 0;
  const mode = get(root, spec.RTADDR.TTM);
  if (mode !== 0) {
    const meaning = ['legacy mode', 'scalable mode', 'reserved', 'abort-DMA mode'][mode];
    const unread = mode === 1 ? ': its root, context and PASID tables are not read' : '';
    problems.push(
      `NOT_MODELLED: RTADDR (offset ${hex(spec.RTADDR.$.at)}) = ${hex(root)} has TTM = ${mode}, ${meaning}${unread}`,
    );
  }
  return problems;
}

/** MAMV is the unit’s own business; the others say nothing about how a request is answered in legacy mode. */
const HARMLESS = new Set([
  ...['ND', 'AFL', 'RWBF', 'MAMV', 'DRD', 'DWD', 'FS1GP', 'FS5LP', 'PI', 'ECMDS', 'ESIRTPS', 'ESRTPS'],
  ...['C', 'MHMV', 'MTS', 'NEST', 'PRS', 'PSS', 'PASID', 'SMTS'],
]);

/** Values by name; 64-bit ones fill two words, FRCDn is a list of quadwords. */
function named(values: Record<string, unknown>, words: Map<number, number>, problems: string[]): void {
  const put = (at: number, text: unknown, name: string) => {
    const value = parse(text);
    if (value === null) return void problems.push(`${name}: ${String(text)} is no number`);
    words.set(at, Number(value & 0xffff_ffffn));
    if (value >> 32n) words.set(at + 4, Number((value >> 32n) & 0xffff_ffffn));
  };
  const fixed = [
    ...spec.FIXED_REGISTERS,
    ...spec.upperAddressRegisters(true),
    ...spec.PROTECTED_MEMORY_REGISTERS,
    CAP,
    ECAP,
  ];
  for (const [name, text] of Object.entries(values)) {
    const register = fixed.find((r) => r.$.name === name);
    if (register) put(register.$.at, text, name);
  }
  const fro = spec.froOf(words.get(CAP.$.at + 4) ?? 0, words.get(CAP.$.at) ?? 0);
  for (const [name, text] of Object.entries(values)) {
    const record = /^FRCD(\d+)$/.exec(name);
    if (record && Array.isArray(text)) text.forEach((q, i) => put(fro + 16 * Number(record[1]) + 8 * i, q, name));
    else if (!record && !fixed.some((r) => r.$.name === name)) problems.push(`no register is called ${name}`);
  }
}

const pair = (words: ReadonlyMap<number, number>, at: number): Uint32Array =>
  Uint32Array.of(words.get(at) ?? 0, words.get(at + 4) ?? 0);

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A hexadecimal or decimal number of at most 64 bits. */
function parse(text: unknown): bigint | null {
  if (typeof text === 'number') return Number.isSafeInteger(text) && text >= 0 ? BigInt(text) : null;
  if (typeof text !== 'string' || !/^(0x[0-9a-f]{1,16}|\d{1,15})$/i.test(text)) return null;
  return BigInt(text);
}

/** The base that the dump was read at, or null. */
export function baseOf(registers: unknown): number | null {
  const base = isRecord(registers) ? parse(registers['base']) : null;
  return base !== null && base < 2n ** 52n ? Number(base) : null;
}
