import { FECTL } from '../spec/index.js';
import type { RegisterFile } from '@doorbell/platform';
import type { MessagePort } from './messages.js';

const IM = FECTL.IM.mask;
const IP = FECTL.IP.mask;

/**
 * One of the unit's own interrupts: control (IM, IP), data, address, upper address in four consecutive words (§7.3, §6.5.2.10).
 * FECTL and IECTL differ only in what raises them.
 */
export class EventMessage {
  constructor(
    private readonly registers: RegisterFile,
    private readonly control: number,
    private readonly messages: MessagePort,
    /** ECAP.EIM: the upper address is used. */
    private readonly wide: boolean,
  ) {
    registers.onWrite(control, (value) => {
      if ((value & IM) === 0 && (value & IP) !== 0) this.fire();
    });
  }

  /** A status bit of the group became 1 while none was. */
  raise(): void {
    const control = this.registers.get(this.control);
    if (control & IM) this.registers.set(this.control, (control | IP) >>> 0);
    else this.fire();
  }

  /** Software cleared every status bit of the group. */
  withdraw(): void {
    this.registers.set(this.control, (this.registers.get(this.control) & ~IP) >>> 0);
  }

  private fire(): void {
    this.withdraw();
    const { control, registers } = this;
    this.messages.send(
      this.wide ? registers.get(control + 12) : 0,
      registers.get(control + 8),
      registers.get(control + 4),
    );
  }
}
