import { plainDevice, type SubjectFactory, type Supports } from '@doorbell/conformance';
import { definePlugin, Platform } from '@doorbell/platform';
import { mpic } from '@doorbell/powerpc-mpic';
import { Pamu, pamu, type Geometry, type PamuNode } from '../src/index.js';

const MIB = 2 ** 20;

/** 256 MiB in 256 sub-windows of 1 MiB from 0 on: sub-window 0, the primary entry itself, is used too. */
export const LOW: Geometry = { base: 0, size: 256 * MIB, count: 256 };
/** 256 MiB in 16 sub-windows of 16 MiB. */
export const COARSE: Geometry = { base: 0, size: 256 * MIB, count: 16 };

/** LIODNs as firmware gives them: one per function here. */
export const LIODN = { a: 193, b: 194, c: 195 };

/** Two PAMUs on one set of tables and an MPIC of version 4.2 with one bank. */
export const subject =
  (geometry: Geometry, options: PamuNode = {}): SubjectFactory =>
  ({ completion }) => {
    const one = (to: string, requester: number, liodn: number) => ({
      inputBase: requester,
      count: 1,
      outputBase: liodn,
      to,
    });
    const platform = new Platform({ name: 'kit', memory: [{ base: 0, size: 2 ** 30 }], completion })
      .use(
        mpic({ cpus: 2, banks: 1 }),
        pamu({ geometry, ...options }, { geometry, ...options }),
        definePlugin('kit-host', { compatible: ['kit,host'] }),
      )
      .node({
        name: 'pci0',
        compatible: 'kit,host',
        iommuMap: [one('pamu0', 0x08, LIODN.a), one('pamu0', 0x10, LIODN.b), one('pamu1', 0x108, LIODN.c)],
      })
      .compose();
    return {
      platform,
      devices: [plainDevice(0x08), plainDevice(0x10), plainDevice(0x108)],
      data: 0x1000_0000,
      cpus: [0, 1],
      refuse: (k) => {
        for (const unit of ['pamu0', 'pamu1']) (platform.model(unit) as Pamu).refuseCommand(k);
      },
    };
  };

export const supports: Supports = {
  writeOnly: true,
  readOnly: true,
  faultsInARow: 1, // one capture register (A8)
  anyLayout: false, // slots of one power of two
  spanningDomain: true, // all PAMUs share the tables
  identity: true,
  affinity: false, // an MSIR has one destination for its 32 vectors
  softwareWindow: true,
  highWindow: false, // the kit's other addresses lie low, and a window is one power of two
  doorbellPages: 1,
  hostileRegisters: [
    { base: 0xfe02_0000, size: 0x1000 },
    { base: 0xfe04_0000, size: 0x2000 },
  ],
};
