import { CPU_INTERFACE, INTERRUPTS, type MsiBlock } from '@doorbell/irqchip';
import { after, immediate, Platform, seeded, type CompletionPolicy } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { gicv2m, gicv3, its, type Its } from '../src/index.js';
import { nic } from './devices.js';

const itsPlatform = (completion: CompletionPolicy = immediate()): Platform =>
  new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 28 }], completion }).use(gicv3({ cpus: 2 }), its()).compose();

const fire = (platform: Platform, block: MsiBlock, index: number, requester: number): void => {
  const m = block.message(index);
  platform.fabric().write32(requester, m.addressHi, m.addressLo, m.data);
};

for (const policy of [immediate(), after(3), ...Array.from({ length: 8 }, (_, i) => seeded(i + 1))]) {
  describe(`ITS, ${policy.name}`, () => {
    it('delivers a vector to its CPU, moves it, and masks it', () => {
      const platform = itsPlatform(policy);
      const core = platform.service(INTERRUPTS);
      const cpu = platform.get(CPU_INTERFACE);
      const block = core.domainFor(nic()).allocate({ count: 4, cpus: [0, 1] });
      expect(block.message(2)).toEqual({ addressHi: 0, addressLo: 0x0809_0040, data: 2 });
      fire(platform, block, 2, 0x20);
      fire(platform, block, 3, 0x20);
      expect(cpu.acknowledge(0)).toBe(8194);
      expect(cpu.acknowledge(1)).toBe(8195);
      expect(cpu.acknowledge(1)).toBeNull();
      expect(core.owner(0, 8194)).toEqual({ block, index: 2 });
      expect(block.setAffinity(2, 1)).toEqual({ messageChanged: false, alongWith: [] });
      fire(platform, block, 2, 0x20);
      expect(cpu.pending(0)).toEqual([]);
      expect(cpu.acknowledge(1)).toBe(8194);
      block.mask(1);
      fire(platform, block, 1, 0x20);
      expect(cpu.acknowledge(1)).toBeNull();
      block.unmask(1);
      expect(cpu.acknowledge(1)).toBe(8193);
      block.free();
    });

    it('does not let a function raise the events of another', () => {
      const platform = itsPlatform(policy);
      const names: string[] = [];
      platform.hooks.refused.tap('test', (r) => names.push(r.name));
      const block = platform.service(INTERRUPTS).domainFor(nic()).allocate({ count: 1 });
      fire(platform, block, 0, 0x28);
      expect(names).toEqual(['UNMAPPED_DEVICE']);
      expect(platform.get(CPU_INTERFACE).pending(0)).toEqual([]);
    });

    it('takes everything back when the ITS refuses a command, whichever it is', () => {
      for (let k = 0; ; k++) {
        const platform = itsPlatform(policy);
        const core = platform.service(INTERRUPTS);
        core.domainFor(nic(0x40)).allocate({ count: 1 });
        const domain = core.domainFor(nic());
        const before = core.digest();
        const model = platform.model('its0') as Its;
        model.refuseCommand(k);
        let code = '';
        try {
          domain.allocate({ count: 3, cpus: [0, 1] });
        } catch (error) {
          code = (error as { code: string }).code;
        }
        if (code === '') {
          expect(k).toBe(9); // MAPD, 3 × MAPTI, 3 × INV, 2 × SYNC
          break;
        }
        expect(code).toBe('HARDWARE_REFUSED');
        expect(core.digest()).toBe(before);
        const names: string[] = [];
        platform.hooks.refused.tap('test', (r) => names.push(r.name));
        platform.fabric().write32(0x20, 0, 0x0809_0040, 0);
        expect(names).toEqual(['UNMAPPED_DEVICE']);
        const again = domain.allocate({ count: 3 });
        fire(platform, again, 0, 0x20);
        expect(platform.get(CPU_INTERFACE).acknowledge(0)).toBe(8193);
      }
    });
  });
}

describe('GICv2m', () => {
  it('delivers an SPI per vector', () => {
    const platform = new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 28 }] })
      .use(gicv3({ cpus: 2 }), gicv2m())
      .compose();
    const core = platform.service(INTERRUPTS);
    const block = core.domainFor(nic()).allocate({ count: 2, cpus: [1] });
    expect(block.message(1)).toEqual({ addressHi: 0, addressLo: 0x0802_0040, data: 81 });
    const seen: unknown[] = [];
    platform.hooks.delivered.tap('test', (d) => seen.push(d));
    fire(platform, block, 1, 0x99);
    expect(seen).toEqual([{ controller: 'gicv2m', doorbell: '0x8020040', intid: 81, cpu: 1 }]);
    expect(platform.get(CPU_INTERFACE).acknowledge(1)).toBe(81);
    expect(core.senderCheck(nic()).scope).toBe('page');
  });
});
