import { get, set } from '@doorbell/bits';
import type { Diagnostics } from '@doorbell/platform';
import {
  ACS,
  ATS,
  BAR,
  BRIDGE_CONTROL,
  BUS_NUMBERS,
  CAP_HEADER,
  CAPABILITIES_POINTER,
  CapId,
  CLASS,
  COMMAND,
  CONFIG_BYTES,
  EXT_HEADER,
  EXTENDED,
  EXTENDED_CONFIG_BYTES,
  ExtCapId,
  ID,
  INTERRUPT,
  MEMORY_WINDOW,
  MISC,
  MSIX_LENGTH,
  msiLength,
  PASID,
  PCIE,
  PCIE_DEVICE_CAP,
  PCIE_DEVICE_CAP2,
  PCIE_DEVICE_CONTROL,
  PCIE_DEVICE_CONTROL2,
  PCIE_LENGTH,
  PREFETCH_BASE_UPPER,
  PREFETCH_LIMIT_UPPER,
  PREFETCH_WINDOW,
  PRI,
  PRI_ALLOCATION,
  PRI_CAPACITY,
  SUBSYSTEM,
} from '../spec/index.js';
import { ConfigSpace } from './config-space.js';
import type { BridgeDefinition, FunctionDefinition, MsixDefinition, OwnCapability, OwnRegister } from './definition.js';
import { dword } from './dword.js';
import { MsiCapability, type SendMessage } from './msi.js';
import { MsixCapability } from './msix.js';

export interface BuiltConfig {
  readonly config: ConfigSpace;
  readonly msi: MsiCapability | undefined;
  readonly msix: MsixCapability | undefined;
  /** Offset of the PCI Express capability; 0: none. */
  readonly pcie: number;
  /** Offsets of the extended capabilities by id. */
  readonly extended: ReadonlyMap<number, number>;
}

/** Capabilities start behind the header. */
const FIRST_CAPABILITY = 0x40;

/** The configuration space that a definition describes, after power-on. */
export function buildConfig(
  fn: { readonly definition: FunctionDefinition; readonly pcieType: number; readonly devfn: number },
  diagnostics: Diagnostics,
  send: SendMessage,
): BuiltConfig {
  const d = fn.definition;
  const express = fn.pcieType >= 0;
  const config = new ConfigSpace(express ? EXTENDED_CONFIG_BYTES : CONFIG_BYTES);
  const bridge = 'bridge' in d ? (d as BridgeDefinition) : undefined;
  const lengths: [number, number, OwnCapability?][] = [];
  if (express) lengths.push([CapId.pcie, PCIE_LENGTH]);
  if (d.msi) lengths.push([CapId.msi, msiLength(d.msi.address64 ?? true, d.msi.perVectorMasking ?? false)]);
  if (d.msix) lengths.push([CapId.msix, MSIX_LENGTH]);
  for (const own of d.capabilities ?? []) lengths.push([own.id, own.length, own]);
  placeHeader(config, d, bridge, lengths.length > 0);
  for (const r of d.registers ?? []) placeOwn(config, r, 0);

  let pcie = 0;
  let msi: MsiCapability | undefined;
  let msix: MsixCapability | undefined;
  let at = d.firstCapability ?? FIRST_CAPABILITY;
  for (const [i, [id, length, own]] of lengths.entries()) {
    const end = Math.ceil((at + length) / 4) * 4;
    const next = i + 1 < lengths.length ? end : 0;
    if (own) placeCapability(config, own, at, next);
    else if (id === CapId.pcie) placePcie(config, (pcie = at), fn.pcieType, d, next);
    else if (id === CapId.msi) msi = new MsiCapability(config, at, d.msi!, send, next);
    else msix = new MsixCapability(d.name, config, at, d.msix as Required<MsixDefinition>, diagnostics, send, next);
    at = end;
  }
  return { config, msi, msix, pcie, extended: express ? placeExtended(config, d) : new Map() };
}

function placeOwn(config: ConfigSpace, { layout, at = layout.$.at, values = [] }: OwnRegister, base: number): void {
  config.place(layout, base + at, ...values);
}

function placeCapability(config: ConfigSpace, own: OwnCapability, at: number, next: number): void {
  config.place(CAP_HEADER, at, (own.id | (next << 8) | ((own.header ?? 0) << 16)) >>> 0);
  for (const r of own.registers ?? []) placeOwn(config, r, at);
}

function placeHeader(
  config: ConfigSpace,
  d: FunctionDefinition,
  bridge: BridgeDefinition | undefined,
  capabilities: boolean,
): void {
  config.place(ID, ID.$.at, ((d.device << 16) | d.vendor) >>> 0);
  config.place(COMMAND, COMMAND.$.at, capabilities ? 1 << 20 : 0);
  config.place(CLASS, CLASS.$.at, ((d.classCode << 8) | (d.revision ?? 0)) >>> 0);
  config.place(MISC, MISC.$.at, (bridge ? 1 : 0) << 16);
  for (const [key, bar] of Object.entries(d.bars ?? {})) {
    const at = BAR.$.at + 4 * Number(key);
    const type = (bar.width === 64 ? 4 : 0) | (bar.prefetchable ? 8 : 0);
    config.place(dword('BAR', bar.size >= 2 ** 32 ? 0 : ~(bar.size - 1) & ~0xf), at, type);
    if (bar.width === 64)
      config.place(dword('BAR, upper half', bar.size >= 2 ** 32 ? ~(bar.size / 2 ** 32 - 1) : ~0), at + 4);
  }
  config.place(
    CAPABILITIES_POINTER,
    CAPABILITIES_POINTER.$.at,
    capabilities ? (d.firstCapability ?? FIRST_CAPABILITY) : 0,
  );
  if (!bridge) {
    const s = d.subsystem ?? { vendor: 0, device: 0 };
    config.place(SUBSYSTEM, SUBSYSTEM.$.at, ((s.device << 16) | s.vendor) >>> 0);
    config.place(INTERRUPT, INTERRUPT.$.at, (d.pin ?? 0) << 8);
    return;
  }
  const { secondary, subordinate } = bridge.buses ?? { secondary: 0, subordinate: 0 };
  config.place(BUS_NUMBERS, BUS_NUMBERS.$.at, (subordinate << 16) | (secondary << 8));
  config.place(MEMORY_WINDOW, MEMORY_WINDOW.$.at);
  config.place(PREFETCH_WINDOW, PREFETCH_WINDOW.$.at, 0x0001_0001); // 64-bit window
  config.place(PREFETCH_BASE_UPPER, PREFETCH_BASE_UPPER.$.at);
  config.place(PREFETCH_LIMIT_UPPER, PREFETCH_LIMIT_UPPER.$.at);
  config.place(BRIDGE_CONTROL, BRIDGE_CONTROL.$.at, (d.pin ?? 0) << 8);
}

function placePcie(config: ConfigSpace, at: number, type: number, d: FunctionDefinition, next: number): void {
  config.place(PCIE, at, CapId.pcie | (next << 8) | (2 << 16) | (type << 20));
  // Role-based error reporting is required; function-level reset is offered by endpoints.
  const flr = 'bridge' in d ? 0 : 1 << 28;
  config.place(PCIE_DEVICE_CAP, at + PCIE_DEVICE_CAP.$.at, (flr | (1 << 15)) >>> 0);
  config.place(PCIE_DEVICE_CONTROL, at + PCIE_DEVICE_CONTROL.$.at);
  config.place(PCIE_DEVICE_CAP2, at + PCIE_DEVICE_CAP2.$.at, d.pasid ? 1 << 21 : 0);
  config.place(PCIE_DEVICE_CONTROL2, at + PCIE_DEVICE_CONTROL2.$.at);
}

function placeExtended(config: ConfigSpace, d: FunctionDefinition): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  const ids: [number, boolean, number][] = [
    [ExtCapId.acs, d.acs !== undefined, 0x0c],
    [ExtCapId.ats, d.ats ?? false, 0x08],
    [ExtCapId.pri, d.pri !== undefined, 0x10],
    [ExtCapId.pasid, d.pasid !== undefined, 0x08],
  ];
  const present = ids.filter(([, there]) => there);
  let at = EXTENDED;
  for (const [i, [id, , length]] of present.entries()) {
    const next = i + 1 < present.length ? at + length : 0;
    config.place(EXT_HEADER, at, (id | (1 << 16) | (next << 20)) >>> 0);
    found.set(id, at);
    if (id === ExtCapId.acs) {
      config.place(ACS, at + ACS.$.at, d.acs!);
      config.limit(at + ACS.$.at, d.acs! << 16); // an unimplemented control bit is hardwired to 0
      config.place(dword('ACS Egress Control Vector', 0), at + 8);
    } else if (id === ExtCapId.ats) config.place(ATS, at + ATS.$.at, 1 << 5);
    else if (id === ExtCapId.pri) {
      config.place(PRI, at + PRI.$.at, 1 << 24); // Stopped
      const control = at + PRI.$.at;
      // No request is outstanding ever, so the interface stops at once (PCIe Base §10.5.2.3).
      config.onWrite(control, (now) => config.set(control, set(now, PRI.Stopped, 1 - get(now, PRI.Enable))));
      config.place(dword('PRI Capacity', 0), at + PRI_CAPACITY, d.pri!.capacity);
      config.place(dword('PRI Allocation', ~0), at + PRI_ALLOCATION);
    } else {
      const p = d.pasid!;
      const capability = (p.width << 8) | (Number(p.privileged ?? false) << 2) | (Number(p.execute ?? false) << 1);
      config.place(PASID, at + PASID.$.at, capability);
      config.limit(at + PASID.$.at, (1 << 16) | ((capability & 6) << 16));
    }
    at += length;
  }
  return found;
}
