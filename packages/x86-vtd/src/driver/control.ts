import type { Field } from '@doorbell/bits';
import type { RegisterPort, SoftwareHost } from '@doorbell/platform';
import { GCMD, GCMD_LEVELS, GSTS } from '../spec/index.js';

/** The global command protocol (VT-d §11.4.4): one control per write, then GSTS is polled. */
export class GlobalControl {
  constructor(
    private readonly name: string,
    private readonly registers: RegisterPort,
    private readonly host: SoftwareHost,
  ) {}

  get status(): number {
    return this.registers.read32(GSTS.$.at);
  }

  /** Sets or clears a control that stays. Errors: `HARDWARE_TIMEOUT`. */
  level(control: 'TE' | 'QIE' | 'IRE' | 'CFI', on: boolean): void {
    const field = GCMD[control];
    const status = GSTS[STATUS[control]];
    if (((this.status & status.mask) !== 0) === on) return;
    const rest = this.status & GCMD_LEVELS & ~field.mask;
    this.registers.write32(GCMD.$.at, (rest | (on ? field.mask : 0)) >>> 0);
    this.await(`GSTS.${STATUS[control]} = ${+on}`, status, on);
  }

  /** A one-shot command: latch a table pointer, flush write buffers. */
  shot(control: 'SRTP' | 'SIRTP' | 'WBF'): void {
    const rest = this.status & GCMD_LEVELS;
    this.registers.write32(GCMD.$.at, (rest | GCMD[control].mask) >>> 0);
    // WBFS reads 1 while the flush is under way, the others once the pointer is in use.
    this.await(`GCMD.${control} to complete`, GSTS[STATUS[control]], control !== 'WBF');
  }

  private await(what: string, status: Field, on: boolean): void {
    this.host.waitUntil(`${this.name}: ${what}`, () => ((this.status & status.mask) !== 0) === on);
  }
}

const STATUS = {
  TE: 'TES',
  QIE: 'QIES',
  IRE: 'IRES',
  CFI: 'CFIS',
  SRTP: 'RTPS',
  SIRTP: 'IRTPS',
  WBF: 'WBFS',
} as const;
