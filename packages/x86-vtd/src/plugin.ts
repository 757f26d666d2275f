import { definePlugin, token, type CaptureRestored, type PlatformNode, type Plugin } from '@doorbell/platform';
import { INTERRUPT_MESSAGES, type InterruptMessages } from '@doorbell/x86-apic/spec';
import { createDriver } from './driver/driver.js';
import { DRIVER_MUTANTS, DRIVER_OPTIONS, type DriverMutant, type DriverOptions } from './driver/options.js';
import { checkOptions, configOf, MODEL_MUTANTS, type ModelMutant, type VtdOptions } from './model/options.js';
import { baseOf, optionsOf, readDump } from './model/dump.js';
import { VtdUnit } from './model/unit.js';
import { CAP, ECAP } from './spec/index.js';

export const VTD_COMPATIBLE = 'intel,vtd';

/** Where interrupt messages end, on the hardware side. */
const MESSAGES = token<InterruptMessages>(INTERRUPT_MESSAGES);

/** Mistakes that can be put in on purpose. */
export type VtdMutant = ModelMutant | DriverMutant;
export const VTD_MUTANTS: readonly VtdMutant[] = [...MODEL_MUTANTS, ...DRIVER_MUTANTS];

/** A unit as a node: where it is, what it can do, what its driver is told. */
export interface VtdNode extends Omit<VtdOptions, 'mutant'>, Omit<DriverOptions, 'mutant'> {
  /** A mistake put in on purpose, in the model or in the driver, for showing that tests notice it. */
  readonly mutant?: VtdMutant | 'none';
  /** Default `dmar0`. */
  readonly name?: string;
  /** Default 0xfed90000. */
  readonly base?: number;
  /** Bytes of registers. Default 4096. */
  readonly size?: number;
  /** PCI segment. Default 0. */
  readonly segment?: number;
}

/** Takes nodes `intel,vtd`; brings one for each argument. */
export function vtd(...units: readonly VtdNode[]): Plugin {
  return definePlugin(
    'x86-vtd',
    {
      compatible: [VTD_COMPATIBLE],
      check: (node) => checkOptions(node.name, node.options ?? {}, node.reg?.[0]?.size, DRIVER_OPTIONS, VTD_MUTANTS),
      model: {
        wants: [MESSAGES],
        create: (ctx) =>
          new VtdUnit({
            name: ctx.node.name,
            base: ctx.node.reg![0]!.base,
            size: ctx.node.reg![0]!.size,
            config: configOf(ctx.node.options),
            host: ctx.host,
            apic: ctx.optional(MESSAGES),
          }),
      },
      driver: { create: createDriver },
    },
    units.map((unit, i) => node({ name: `dmar${i}`, ...unit })),
  );
}

/** The node of a unit. */
export const node = ({ name, base, size, segment, ...options }: VtdNode = {}): PlatformNode => ({
  name: name ?? 'dmar0',
  compatible: VTD_COMPATIBLE,
  reg: [{ base: base ?? 0xfed9_0000, size: size ?? 0x1000 }],
  segment: segment ?? 0,
  options,
});

/** The unit of QEMU 7.2's q35 (`intel-iommu,intremap=on`): `dmar0` at 0xfed90000, 48 bits, one fault record. */
vtd.q35 = (options: VtdNode = {}): Plugin => vtd({ name: 'dmar0', base: 0xfed9_0000, ...options });

/** How captures of a VT-d unit become a node and its state: what `inspect` needs. */
export const capture = {
  /** `kind` in registers.json. */
  kind: 'vtd',
  /** The node of the unit that the registers come from: capabilities as they say, defaults where they say nothing. Never throws. */
  node(registers: unknown, known: { readonly name?: string; readonly hostAddressWidth?: number } = {}): PlatformNode {
    const { words } = readDump(registers, null);
    const offered = words.has(CAP.$.at) && words.has(ECAP.$.at) ? optionsOf(words) : {};
    const { hostAddressWidth } = known;
    const { faultOffset = 0, faultRecords = 0, iotlbOffset = 0 } = offered;
    const end = Math.max(faultOffset + 16 * faultRecords, iotlbOffset + 16);
    return node({
      size: Math.max(0x1000, Math.ceil(end / 0x1000) * 0x1000),
      name: known.name ?? 'dmar0',
      base: baseOf(registers) ?? 0xfed9_0000,
      ...offered,
      ...(hostAddressWidth === undefined ? {} : { hostAddressWidth }),
    });
  },
  /** Puts the registers into the node's model. Each problem is one sentence; none: it will answer as the real unit. */
  restore(model: VtdUnit, registers: unknown): CaptureRestored {
    return model.restoreCapture(registers);
  },
} as const;
