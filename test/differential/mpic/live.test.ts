import { plainDevice } from '@doorbell/conformance';
import { INTERRUPTS } from '@doorbell/irqchip';
import { Platform, registerPort } from '@doorbell/platform';
import { MpicProbe, mpic } from '@doorbell/powerpc-mpic';
import { E500, qemuAvailable, startPpcE500, type QemuMachine } from '@doorbell/qemu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const qemu = qemuAvailable('ppc');
if (!qemu.available) console.warn(`skipped: the MPIC driver live on QEMU: ${qemu.reason}`);
const MPIC = E500.ccsr + 0x4_0000;
/** QEMU has one bank and no alias pages. */
const MSIIR = MPIC + 0x1740;

describe.skipIf(!qemu.available)('the MPIC driver live on QEMU, source unchanged', () => {
  let machine: QemuMachine;
  beforeAll(() => {
    machine = startPpcE500({ cpus: 2 });
  });
  afterAll(() => {
    machine.close();
  });

  it('gives vectors to CPUs, moves an MSIR, and quiets what is freed', () => {
    const platform = new Platform({ machine })
      .use(mpic({ base: MPIC, banks: [{ bank: 0, doorbell: MSIIR }] }))
      .compose();
    const core = platform.service(INTERRUPTS);
    const probe = new MpicProbe(registerPort(machine.cpu, MPIC, 'big'));
    const device = plainDevice(0x20);
    const block = core.domainFor(device).allocate({ count: 4, cpus: [0, 1] });
    const fire = (i: number): void => {
      const { addressHi, addressLo, data } = block.message(i);
      machine.cpu.write32(addressHi * 2 ** 32 + addressLo, data);
    };
    const take = (cpu: number): number | undefined => {
      const number = probe.acknowledge(cpu);
      if (number === null) return undefined;
      probe.end(cpu, number);
      return core.owner(cpu, number)?.index;
    };
    for (let i = 0; i < 4; i++) {
      fire(i);
      expect([take(i & 1), take(i & 1)]).toEqual([i, undefined]);
    }
    expect(block.setAffinity(0, 1).alongWith).toEqual([`vector 2 of ${device.name}`]);
    fire(2);
    expect([take(0), take(1)]).toEqual([undefined, 2]);
    fire(1);
    block.free();
    core.domainFor(device).allocate({ count: 4, cpus: [0, 1] });
    expect([take(0), take(1)]).toEqual([undefined, undefined]);
    platform.dispose();
  });
});
