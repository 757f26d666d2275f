import { join64, type HardwareHost, type RegisterFile } from '@doorbell/platform';
import { PHMBASE, PHMLIMIT, PLMBASE, PLMLIMIT, PMEN } from '../spec/index.js';
import type { VtdConfig } from './options.js';

/** Ranges end with 21 ones: their granularity is 2 MiB. */
const LAST = 0x1f_ffff;

/** PMEN and its two ranges: DMA that ends there is blocked, whatever TE says (§11.4.8). */
export class ProtectedMemory {
  /** PMEN.PRS. */
  active = false;
  private lowFirst = 0;
  private lowLast = -1;
  private highFirst = 0;
  private highLast = -1;

  constructor(
    private readonly registers: RegisterFile,
    host: HardwareHost,
    config: VtdConfig,
  ) {
    if (!config.protectedMemory) return;
    const lane = host.clock.lane();
    registers.onWrite(PMEN.$.at, () =>
      lane.run(() => {
        const on = registers.get(PMEN.$.at) & PMEN.EPM.mask;
        registers.set(PMEN.$.at, ((on >>> 0) + (on ? PMEN.PRS.mask : 0)) >>> 0);
        this.update();
      }),
    );
  }

  /** Takes state and ranges from the registers: they are fixed while protection is on. */
  update(): void {
    const r = this.registers;
    this.active = (r.get(PMEN.$.at) & PMEN.PRS.mask) !== 0;
    this.lowFirst = r.get(PLMBASE.$.at);
    this.lowLast = (r.get(PLMLIMIT.$.at) | LAST) >>> 0;
    this.highFirst = join64(r.get(PHMBASE.$.at + 4), r.get(PHMBASE.$.at));
    this.highLast = join64(r.get(PHMLIMIT.$.at + 4), (r.get(PHMLIMIT.$.at) | LAST) >>> 0);
  }

  blocks(pa: number): boolean {
    return (pa >= this.lowFirst && pa <= this.lowLast) || (pa >= this.highFirst && pa <= this.highLast);
  }
}
