import { definePlugin, immediate, Platform, type CompletionPolicy } from '@doorbell/platform';
import { Gicv3, Its, type ItsOptions } from '../src/index.js';

export const GICD = 0x0800_0000;
export const GICR = 0x080a_0000;
export const ITS = 0x0808_0000;
export const RAM = 0x4000_0000;
export const AT = {
  queue: RAM + 0x10_0000,
  devices: RAM + 0x11_0000,
  collections: RAM + 0x12_0000,
  configuration: RAM + 0x13_0000,
  pending: RAM + 0x14_0000,
  itt: RAM + 0x18_0000,
} as const;

/** GICv3 with two CPUs and an ITS, without drivers; every LPI enabled. */
export class Raw {
  readonly platform: Platform;
  gic!: Gicv3;
  its!: Its;
  private at = 0;

  constructor(options: ItsOptions = {}, completion: CompletionPolicy = immediate()) {
    this.platform = new Platform({ memory: [{ base: RAM, size: 2 ** 26 }], completion })
      .use(
        definePlugin(
          'raw-gic',
          {
            compatible: ['gic'],
            model: {
              create: (ctx) =>
                (this.gic = new Gicv3('gic0', { distributor: GICD, redistributors: GICR }, ctx.host, {
                  cpus: 2,
                  messageSpis: true,
                })),
            },
          },
          [
            {
              name: 'gic0',
              compatible: 'gic',
              reg: [
                { base: GICD, size: 0x10000 },
                { base: GICR, size: 0x40000 },
              ],
            },
          ],
        ),
        definePlugin(
          'raw-its',
          {
            compatible: ['its'],
            model: { create: (ctx) => (this.its = new Its('its0', ITS, ctx.host, this.gic, options)) },
          },
          [{ name: 'its0', compatible: 'its', reg: [{ base: ITS, size: 0x20000 }] }],
        ),
      )
      .compose();
  }

  read(address: number): number {
    return this.platform.bus.read32(address);
  }
  write(address: number, value: number): void {
    this.platform.bus.write32(address, value >>> 0);
  }

  start(): this {
    const { bus, memoryModel } = this.platform;
    this.write(GICD, 0x12);
    memoryModel.fill(AT.configuration, 4096, 0xa3);
    for (const cpu of [0, 1]) {
      const r = GICR + 0x20000 * cpu;
      this.write(r + 0x14, 0);
      bus.write64(r + 0x70, 0, AT.configuration | 15);
      bus.write64(r + 0x78, 0x4000_0000, AT.pending + 0x1_0000 * cpu);
      this.write(r, 1);
    }
    bus.write64(ITS + 0x100, 0x8000_0000, AT.devices | 0x200);
    bus.write64(ITS + 0x108, 0x8000_0000, AT.collections | 0x200);
    bus.write64(ITS + 0x80, 0x8000_0000, AT.queue);
    this.write(ITS, 1);
    return this;
  }

  /** Puts commands in the queue (8 words each) and rings. */
  send(...commands: readonly (readonly number[])[]): void {
    for (const c of commands) {
      for (let i = 0; i < 8; i++) this.platform.memoryModel.write32(AT.queue + this.at + 4 * i, (c[i] ?? 0) >>> 0);
      this.at = (this.at + 32) % 4096;
    }
    this.platform.bus.write64(ITS + 0x88, 0, this.at);
  }
  get cwriter(): number {
    return this.at;
  }

  /** A device's write to GITS_TRANSLATER; what came of it. */
  message(device: number, event: number): string {
    let result = 'nothing';
    const { delivered, refused } = this.platform.hooks;
    delivered.tap('message', (d) => void (result = `LPI ${String(d['intid'])} at CPU ${String(d['cpu'])}`));
    refused.tap('message', (r) => void (result = r.name));
    this.platform.bus.deviceWrite32(ITS + 0x10040, event, device);
    delivered.taps.pop();
    refused.taps.pop();
    return result;
  }
}

export const mapd = (device: number, bits = 3, valid = true): number[] => [
  8,
  device,
  bits - 1,
  0,
  AT.itt + 0x100 * (device & 3),
  valid ? 0x8000_0000 : 0,
];
export const mapc = (icid: number, cpu: number, valid = true): number[] => [
  9,
  0,
  0,
  0,
  ((cpu << 16) | icid) >>> 0,
  valid ? 0x8000_0000 : 0,
];
export const mapti = (device: number, event: number, lpi: number, icid: number): number[] => [
  0xa,
  device,
  event,
  lpi,
  icid,
];
export const USUAL = [mapc(0, 0), mapc(1, 1), mapd(0), mapd(1), mapti(0, 0, 8192, 0), mapti(1, 2, 8200, 1)];
