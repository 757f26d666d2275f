import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { definePlugin, Platform } from '@doorbell/platform';
import { expect, it } from 'vitest';
import { gicv2m, gicv3, its } from '../src/index.js';
import { nic } from './devices.js';

it('two ITSs and a v2m frame share one GIC; DeviceIDs of the two are separate spaces', () => {
  const platform = new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 28 }] })
    .use(
      gicv3({ cpus: 2 }),
      its(),
      its({ name: 'its1', base: 0x0810_0000 }),
      gicv2m(),
      definePlugin('bridge', { compatible: ['bridge'] }, [
        {
          name: 'pci0',
          compatible: 'bridge',
          msiMap: [
            { inputBase: 0, count: 0x100, outputBase: 0, to: 'its0' },
            { inputBase: 0x100, count: 0x100, outputBase: 0, to: 'its1' },
            { inputBase: 0x200, count: 0x100, outputBase: 0, to: 'v2m0' },
          ],
        },
      ]),
    )
    .compose();
  const core = platform.service(INTERRUPTS);
  const cpu = platform.get(CPU_INTERFACE);
  const taken = [0x20, 0x120, 0x220].map((requester) => {
    const block = core.domainFor(nic(requester)).allocate({ count: 1, cpus: [1] });
    const m = block.message(0);
    platform.fabric().write32(requester, m.addressHi, m.addressLo, m.data);
    return [m.addressLo, m.data, cpu.acknowledge(1)];
  });
  expect(taken).toEqual([
    [0x0809_0040, 0, 8192],
    [0x0811_0040, 0, 8193],
    [0x0802_0040, 80, 80],
  ]);
});
