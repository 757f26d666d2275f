import { join64, type HardwareHost, type RegisterFile } from '@doorbell/platform';
import { CCMD, GCMD, GCMD_LEVELS, Granularity, GSTS, IOTLB_AT_0, IRTA, RTADDR } from '../spec/index.js';
import type { DmaRemapper } from './dma.js';
import type { InterruptRemapper } from './interrupts.js';
import { MAX_ADDRESS_MASK, type VtdConfig } from './options.js';
import type { InvalidationQueue } from './queue.js';

/** GCMD and GSTS, the latched table pointers, and invalidation by registers (§11.4.4, §11.4.6–8). */
export class GlobalCommand {
  private readonly lane;

  constructor(
    private readonly name: string,
    private readonly registers: RegisterFile,
    private readonly host: HardwareHost,
    private readonly config: VtdConfig,
    private readonly dma: DmaRemapper,
    private readonly interrupts: InterruptRemapper,
    private readonly queue: InvalidationQueue,
  ) {
    this.lane = host.clock.lane();
    registers.onWrite(GCMD.$.at, (value) => {
      registers.set(GCMD.$.at, 0);
      this.command(value);
    });
    registers.onWrite(CCMD.$.at + 4, (value) => {
      if (value & CCMD.ICC.mask) this.lane.run(() => this.contextCommand());
    });
    const iotlb = config.iotlbOffset + 8;
    registers.onWrite(iotlb + 4, (value) => {
      if (value & IOTLB_AT_0.IVT.mask) this.lane.run(() => this.iotlbCommand(iotlb));
    });
  }

  /** Takes over what a dump's registers say: status bits, and the pointers that were latched. */
  adopt(): void {
    this.adoptStatus();
    const status = this.registers.get(GSTS.$.at);
    if (status & GSTS.RTPS.mask) this.latchRoot();
    if (status & GSTS.IRTPS.mask) this.latchTable();
  }

  adoptStatus(): void {
    const status = this.registers.get(GSTS.$.at);
    this.dma.enabled = (status & GSTS.TES.mask) !== 0;
    this.queue.enabled = (status & GSTS.QIES.mask) !== 0;
    this.interrupts.enabled = (status & GSTS.IRES.mask) !== 0;
    this.interrupts.compatibility = (status & GSTS.CFIS.mask) !== 0;
    this.dma.update();
  }

  /** One-shot bits act when written 1; the others when they differ from their status. */
  private command(value: number): void {
    const status = this.registers.get(GSTS.$.at);
    const changed = (value ^ status) & GCMD_LEVELS;
    const shots = value & ~GCMD_LEVELS;
    if (onlyOne(changed) + onlyOne(shots) > 1)
      this.host.diagnostics.illegal(this.name, 'GCMD: more than one control changed');
    // The status of a pointer falls with the write and rises when the pointer is in use.
    if (shots & GCMD.SRTP.mask) this.clear(GSTS.RTPS.mask);
    if (shots & GCMD.SIRTP.mask) this.clear(GSTS.IRTPS.mask);
    if (changed !== 0 || shots !== 0) this.lane.run(() => this.perform(changed, shots, value));
  }

  private perform(changed: number, shots: number, value: number): void {
    if (shots & GCMD.SIRTP.mask) {
      this.latchTable();
      if (this.config.enhancedSetPointer) this.interrupts.invalidateAll();
      this.raise(GSTS.IRTPS.mask);
    }
    if (shots & GCMD.SRTP.mask) {
      this.latchRoot();
      if (this.config.enhancedSetPointer) {
        this.dma.contexts.clear();
        this.dma.iotlb.clear();
      }
      this.raise(GSTS.RTPS.mask);
    }
    // Write buffers never hold anything back here (CAP.RWBF = 0): WBFS stays 0.
    if (shots & GCMD.SFL.mask || changed & GCMD.EAFL.mask)
      this.host.diagnostics.unimplemented(this.name, 'advanced fault logging (CAP.AFL = 0)');
    if (changed & GCMD.QIE.mask && this.offered(this.config.queuedInvalidation, 'QIE')) {
      const on = (value & GCMD.QIE.mask) !== 0;
      // §6.5.2: the queue is switched off when it is empty only.
      if (on || this.queue.empty) {
        this.put(GSTS.QIES.mask, on);
        this.queue.enable(on);
      } else this.host.diagnostics.illegal(this.name, 'GCMD.QIE = 0 while IQH is not IQT');
    }
    if (changed & GCMD.TE.mask) {
      this.put(GSTS.TES.mask, (this.dma.enabled = (value & GCMD.TE.mask) !== 0));
      this.dma.update();
    }
    if (changed & GCMD.IRE.mask && this.offered(this.config.interruptRemapping, 'IRE'))
      this.put(GSTS.IRES.mask, (this.interrupts.enabled = (value & GCMD.IRE.mask) !== 0));
    if (changed & GCMD.CFI.mask && this.offered(this.config.interruptRemapping, 'CFI'))
      this.put(GSTS.CFIS.mask, (this.interrupts.compatibility = (value & GCMD.CFI.mask) !== 0));
  }

  private latchRoot(): void {
    const low = this.registers.get(RTADDR.$.at);
    this.dma.root = join64(this.registers.get(RTADDR.$.at + 4), (low & 0xffff_f000) >>> 0);
    this.dma.mode = (low >>> RTADDR.TTM.lsb) & 3;
    this.dma.update();
    if (this.dma.mode !== 0)
      this.host.diagnostics.unimplemented(this.name, `RTADDR.TTM = ${this.dma.mode} (legacy mode only)`);
  }

  private latchTable(): void {
    const low = this.registers.get(IRTA.$.at);
    const table = join64(this.registers.get(IRTA.$.at + 4), (low & 0xffff_f000) >>> 0);
    this.interrupts.setTable(table, 2 << (low & 15), this.config.extendedInterruptMode && (low & IRTA.EIME.mask) !== 0);
  }

  /** §11.4.6: CAIG tells what was done; 0 where the request made no sense. */
  private contextCommand(): void {
    const r = this.registers;
    const high = r.get(CCMD.$.at + 4);
    const low = r.get(CCMD.$.at);
    if (this.queue.enabled)
      return this.host.diagnostics.illegal(this.name, 'CCMD used while queued invalidation is on');
    const g = (high >>> CCMD.CIRG.lsb) & 3;
    const done = g === 0 ? 0 : this.queue.invalidateContexts(g, low & 0xffff, low >>> 16, high & 3);
    r.set(CCMD.$.at, low & 0xffff);
    r.set(CCMD.$.at + 4, (high & CCMD.CIRG.mask) | (done << CCMD.CAIG.lsb));
  }

  private iotlbCommand(at: number): void {
    const r = this.registers;
    const high = r.get(at + 4);
    if (this.queue.enabled)
      return this.host.diagnostics.illegal(this.name, 'IOTLB used while queued invalidation is on');
    const address = this.config.iotlbOffset;
    const g = (high >>> IOTLB_AT_0.IIRG.lsb) & 3;
    const am = r.get(address) & 0x3f;
    let done = 0;
    if (g !== 0 && !(g === Granularity.page && am > MAX_ADDRESS_MASK))
      done = this.queue.invalidateIotlb(g, high & 0xffff, r.get(address + 4), r.get(address), am);
    r.set(at + 4, (high & ~IOTLB_AT_0.IVT.mask & ~IOTLB_AT_0.IAIG.mask) | (done << IOTLB_AT_0.IAIG.lsb));
  }

  private offered(capability: boolean, control: string): boolean {
    if (!capability) this.host.diagnostics.illegal(this.name, `GCMD.${control} without the capability`);
    return capability;
  }

  private put(bit: number, on: boolean): void {
    if (on) this.raise(bit);
    else this.clear(bit);
  }
  private raise(bit: number): void {
    this.registers.set(GSTS.$.at, (this.registers.get(GSTS.$.at) | bit) >>> 0);
  }
  private clear(bit: number): void {
    this.registers.set(GSTS.$.at, (this.registers.get(GSTS.$.at) & ~bit) >>> 0);
  }
}

/** 0, 1, or 2 for more than one bit. */
const onlyOne = (bits: number): number => (bits === 0 ? 0 : (bits & (bits - 1)) === 0 ? 1 : 2);
