import { capturedBlock, type CaptureContribution, type PlatformNode } from '@doorbell/platform';
import type { Gicv3 } from './model/gicv3.js';
import type { Its } from './model/its.js';
import { itsTables, lpiTables } from './model/tables.js';
import { gicv2m, gicv3, GICV3_COMPATIBLE, its, ITS_COMPATIBLE, V2M_COMPATIBLE } from './plugin.js';
import { GICR_SIZE, GICR_TYPER } from './spec/index.js';

/** Captures of a GICv3: how many redistributors there are, and whether they are GICv4's larger ones, is seen by where registers were read. */
export const gicv3Capture: CaptureContribution = {
  compatible: [GICV3_COMPATIBLE],
  plugin: () => gicv3(null),
  node: exactGic,
  tables: (model) => lpiTables(model as Gicv3),
};

/** Captures of an ITS whose private tables have QEMU 7.2's formats. */
export const itsCapture: CaptureContribution = {
  compatible: [ITS_COMPATIBLE],
  plugin: () => its(null),
  tables: (model, memory) => itsTables(model as Its, memory),
  remedies: {
    ITS_DISABLED: 'set GITS_CTLR.Enabled',
    UNMAPPED_DEVICE: 'nothing, if it is forged; else MAPD the DeviceID, and see that the msi-map leads to it',
    DEVICE_OUT_OF_RANGE: 'see that the msi-map yields a DeviceID within the device table',
    UNMAPPED_EVENT: 'MAPTI the event before the message is programmed',
    EVENT_OUT_OF_RANGE: 'send an EventID below 2^(Size + 1) of the MAPD, or map the device with more events',
    UNMAPPED_COLLECTION: 'MAPC the collection to a redistributor',
    LPI_OUT_OF_RANGE: 'use INTIDs below 2^(PROPBASER.IDbits + 1)',
    LPI_DISABLED: 'set Enable in the configuration byte, then INV; the LPI is pending meanwhile',
    LPIS_OFF: 'set GICR_CTLR.EnableLPIs of the target redistributor',
    NO_REDISTRIBUTOR: 'MAPC the collection to a redistributor that is there',
    GROUP_DISABLED: 'set GICD_CTLR.EnableGrp1',
    NOT_A_DOORBELL: 'program the message with the address that translates to the doorbell',
  },
};

/** Captures of a GICv2m frame. */
export const v2mCapture: CaptureContribution = {
  compatible: [V2M_COMPATIBLE],
  plugin: () => gicv2m(null),
};

function exactGic(node: PlatformNode, registers: unknown): PlatformNode {
  const first = node.reg?.[1]?.base;
  if (first === undefined) return node;
  const at = (index: number, size: number) => capturedBlock(registers, first + index * size);
  const size = at(1, GICR_SIZE) || !at(1, 2 * GICR_SIZE) ? GICR_SIZE : 2 * GICR_SIZE;
  let cpus = 0;
  while (cpus < 512 && at(cpus, size)) cpus++;
  // A single redistributor tells by its TYPER: VLPIS.
  const typer = at(0, size)?.words.get(GICR_TYPER.$.at) ?? 0;
  const virtualLpis = size > GICR_SIZE || (cpus === 1 && (typer & 2) !== 0);
  const count = cpus || Number(node.options?.['cpus'] ?? 1);
  return {
    ...node,
    reg: [node.reg![0]!, { base: first, size: GICR_SIZE * (virtualLpis ? 2 : 1) * count }],
    options: { cpus: count, ...(virtualLpis && { virtualLpis }) },
  };
}
