import { Platform, registerPort, type RegisterPort } from '@doorbell/platform';
import { mpic, type Mpic } from '@doorbell/powerpc-mpic';
import { E500, type QemuMachine } from '@doorbell/qemu';

export const CPUS = 2;
const MPIC = E500.ccsr + 0x4_0000;

/** An MPIC as its registers show it, model or QEMU. */
export interface Side {
  readonly registers: RegisterPort;
}

/** QEMU's ppce500 has version 4.2 with 196 sources in FRR. */
export function modelSide(): Side & { readonly model: Mpic } {
  const platform = new Platform({ memory: [{ base: 0, size: 2 ** 20 }] })
    .use(mpic({ base: MPIC, cpus: CPUS, sources: 196 }))
    .compose();
  return { registers: registerPort(platform.cpu, MPIC, 'big'), model: platform.model('mpic0') as Mpic };
}

export const qemuSide = (machine: QemuMachine): Side => ({ registers: registerPort(machine.cpu, MPIC, 'big') });

/** The same start for both: reset, and MSIRs empty, which QEMU's reset leaves alone. */
export function start({ registers }: Side): void {
  registers.write32(0x1020, 0x8000_0000);
  for (let n = 0; n < 8; n++) registers.read32(0x1600 + 0x10 * n);
  // Nor does it reset where a source goes to.
  for (let n = 0; n < 8; n++) registers.write32(0x1_0018 + 0x20 * (224 + n), 0);
  registers.write32(0x1020, 0x8000_0000);
}
