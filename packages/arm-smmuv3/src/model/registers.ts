import { get } from '@doorbell/bits';
import { RegisterFile, type RegisterFileOptions } from '@doorbell/platform';
import {
  CMDQ_BASE,
  CMDQ_CONS,
  CR0,
  CR0ACK,
  CR1,
  EVENTQ_BASE,
  EVENTQ_IRQ_CFG0,
  EVENTQ_IRQ_CFG1,
  EVENTQ_IRQ_CFG2,
  EVENTQ_PROD,
  GERROR_IRQ_CFG0,
  GERROR_IRQ_CFG1,
  GERROR_IRQ_CFG2,
  IRQ_CTRL,
  IRQ_CTRLACK,
  SMMU_SIZE,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
} from '../spec/index.js';

/** Registers that may be written only while something is off, and what, by word: CR0 bits, IRQ_CTRL bits. */
const CR0_LOCKS = new Uint8Array(SMMU_SIZE / 4);
const IRQ_LOCKS = new Uint8Array(SMMU_SIZE / 4);
const lock = (registers: readonly { readonly $: { at: number; width: number } }[], cr0: number, irq: number) => {
  for (const { $ } of registers) {
    CR0_LOCKS.fill(cr0, $.at / 4, ($.at + $.width / 8) / 4);
    IRQ_LOCKS.fill(irq, $.at / 4, ($.at + $.width / 8) / 4);
  }
};
lock([STRTAB_BASE, STRTAB_BASE_CFG, CR1], CR0.SMMUEN.mask, 0);
lock([CMDQ_BASE, CMDQ_CONS], CR0.CMDQEN.mask, 0);
lock([EVENTQ_BASE, EVENTQ_PROD], CR0.EVENTQEN.mask, 0);
lock([GERROR_IRQ_CFG0, GERROR_IRQ_CFG1, GERROR_IRQ_CFG2], 0, IRQ_CTRL.GERROR.mask);
lock([EVENTQ_IRQ_CFG0, EVENTQ_IRQ_CFG1, EVENTQ_IRQ_CFG2], 0, IRQ_CTRL.EVENTQ.mask);

/** The register file with §6.3's conditions on writes: a write at the wrong time is dropped and noted. */
export class SmmuRegisters extends RegisterFile {
  private readonly notes: RegisterFileOptions['diagnostics'];

  constructor(options: RegisterFileOptions) {
    super(options);
    this.notes = options.diagnostics;
  }

  override write(offset: number, size: number, value: number, source: number): void {
    const cr0Lock = CR0_LOCKS[offset >>> 2]!;
    const irqLock = IRQ_LOCKS[offset >>> 2]!;
    if ((cr0Lock | irqLock) !== 0) {
      const cr0 = this.get(CR0.$.at) | get(this.get(CR0ACK.$.at), CR0ACK.ACK);
      const irq = this.get(IRQ_CTRL.$.at) | this.get(IRQ_CTRLACK.$.at);
      if ((cr0 & cr0Lock) !== 0 || (irq & irqLock) !== 0) {
        this.notes.illegal(this.name, `write of 0x${offset.toString(16)} while it is in use`);
        return;
      }
    }
    super.write(offset, size, value, source);
  }
}
