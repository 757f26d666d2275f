import { Platform, type Device } from '@doorbell/platform';
import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { apic, APICS, type ApicOptions } from '../src/index.js';

/** Local APICs alone: no remapping unit, devices write straight to 0xFEEx_xxxx. */
export function machine(options: ApicOptions = {}) {
  const platform = new Platform({ memory: [{ base: 0, size: 2 ** 24 }] }).use(apic(options)).compose();
  return {
    platform,
    apics: platform.get(APICS),
    core: platform.service(INTERRUPTS),
    cpu: platform.get(CPU_INTERFACE),
    fabric: platform.fabric(),
  };
}

export const device = (requester: number): Device => ({
  name: `0000:${requester.toString(16).padStart(4, '0')}`,
  kind: 'pci',
  segment: 0,
  requester,
  aliases: [requester],
  dmaBits: 64,
  isolation: { group: requester, isolated: true, witness: [] },
});
