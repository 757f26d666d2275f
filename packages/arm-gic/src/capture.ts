import { get, getAt } from '@doorbell/bits';
import { capturedBlock, type CaptureContribution, type PlatformNode } from '@doorbell/platform';
import { Gicv3 } from './model/gicv3.js';
import { redistributorSize } from './model/redistributor.js';
import { Its } from './model/its.js';
import {
  gicv2,
  GICV2_COMPATIBLES,
  gicv2m,
  GICV3_COMPATIBLE,
  gicv3,
  gicv3Node,
  its,
  ITS_COMPATIBLE,
  itsNode,
  V2M_COMPATIBLE,
} from './plugin.js';
import { GICD_SIZE, GICD_TYPER, GICV2_GICD_TYPER, GICR_TYPER, V2M_MSI_TYPER } from './spec/index.js';

/** QEMU's virt machine, where neither firmware nor the registers say. */
const DISTRIBUTOR = 0x0800_0000;
const REDISTRIBUTORS = 0x080a_0000;
const MOST_CPUS = 512;

/** A GIC node made exact: as many redistributors, and as many SPIs, as the capture has registers of. */
function gicNode(node: PlatformNode, registers: unknown): PlatformNode {
  const distributor = node.reg?.[0]?.base ?? DISTRIBUTOR;
  const first = node.reg?.[1]?.base ?? REDISTRIBUTORS;
  const typer = capturedBlock(registers, first)?.words.get(GICR_TYPER.$.at) ?? 0;
  const virtualLpis = (typer & GICR_TYPER.VLPIS.mask) !== 0;
  const size = redistributorSize(virtualLpis);
  let cpus = 0;
  while (cpus < MOST_CPUS && capturedBlock(registers, first + cpus * size)) cpus++;
  const count = cpus || Number(node.options?.['cpus'] ?? 1);
  const lines = capturedBlock(registers, distributor)?.words.get(GICD_TYPER.$.at);
  const spis = lines === undefined ? 224 : Math.max(32, 32 * getAt(Uint32Array.of(lines), 0, GICD_TYPER.ITLinesNumber));
  return {
    ...node,
    reg: [
      { base: distributor, size: GICD_SIZE },
      { base: first, size: size * count },
    ],
    options: { ...node.options, cpus: count, spis: Math.min(spis, 960), virtualLpis },
  };
}

/** As many CPUs and SPIs as GICD_TYPER says. */
function gicv2Node(node: PlatformNode, registers: unknown): PlatformNode {
  const base = node.reg?.[0]?.base;
  const typer = base === undefined ? undefined : capturedBlock(registers, base)?.words.get(GICV2_GICD_TYPER.$.at);
  if (typer === undefined) return node;
  const spis = Math.min(Math.max(32, 32 * get(typer, GICV2_GICD_TYPER.ITLinesNumber)), 960);
  return { ...node, options: { ...node.options, cpus: get(typer, GICV2_GICD_TYPER.CPUNumber) + 1, spis } };
}

function v2mNode(node: PlatformNode, registers: unknown): PlatformNode {
  const base = node.reg?.[0]?.base;
  const typer = base === undefined ? undefined : capturedBlock(registers, base)?.words.get(V2M_MSI_TYPER.$.at);
  if (typer === undefined) return node;
  const words = Uint32Array.of(typer);
  const own = { baseSpi: getAt(words, 0, V2M_MSI_TYPER.BASE), spis: getAt(words, 0, V2M_MSI_TYPER.COUNT) };
  return { ...node, options: { ...node.options, ...own } };
}

/** The base that a block of registers says. */
function placeOf<K extends string>(registers: unknown, as: K): { readonly [key in K]?: number } {
  const base = Number((registers as { base?: string | number } | null)?.base);
  return (Number.isSafeInteger(base) ? { [as]: base } : {}) as { readonly [key in K]?: number };
}

/** How captures of machines with a GICv3, an ITS or a v2m frame are asked. */
export const captures: readonly CaptureContribution[] = [
  {
    compatible: [GICV3_COMPATIBLE],
    kind: 'gicd',
    plugin: () => gicv3(null),
    bare: (registers) => gicv3Node(placeOf(registers, 'distributor')),
    node: gicNode,
    tables: (model) => (model instanceof Gicv3 ? model.extents() : []),
    remedies: {
      LPI_DISABLED: 'set Enable in the configuration byte of the LPI and send INV: it is pending',
      GROUP_DISABLED: 'set GICD_CTLR.EnableGrp1: the interrupt is pending',
      LPIS_OFF: 'set GICR_CTLR.EnableLPIs of the redistributor',
      LPI_OUT_OF_RANGE: 'let GICR_PROPBASER.IDbits reach the INTID',
    },
  },
  {
    compatible: [ITS_COMPATIBLE],
    kind: 'its',
    plugin: () => its(null),
    bare: (registers) => itsNode(placeOf(registers, 'base')),
    tables: (model) => (model instanceof Its ? model.extents() : []),
    remedies: {
      ITS_DISABLED: 'set GITS_CTLR.Enabled',
      DEVICE_OUT_OF_RANGE: 'let the device table (GITS_BASERn) hold the DeviceID',
      UNMAPPED_DEVICE: 'send MAPD for the DeviceID',
      EVENT_OUT_OF_RANGE: 'send MAPD with more EventID bits, or program the device with an EventID below 2^(Size + 1)',
      UNMAPPED_EVENT: 'send MAPTI for the event',
      UNMAPPED_COLLECTION: 'send MAPC for the collection',
      NO_REDISTRIBUTOR: 'send MAPC with a redistributor that is there',
    },
  },
  {
    compatible: GICV2_COMPATIBLES,
    plugin: () => gicv2(null),
    node: gicv2Node,
  },
  {
    compatible: [V2M_COMPATIBLE],
    plugin: () => gicv2m(null),
    node: v2mNode,
    remedies: {
      SPI_OUT_OF_RANGE: 'program the device with an INTID of the frame (MSI_TYPER)',
      SPI_DISABLED: 'enable the SPI in the distributor: it is pending',
    },
  },
];
