import { decode, type AnyLayout } from '@doorbell/bits';
import type { HardwareHost } from '@doorbell/platform';
import { CTE, DTE, FIRST_LPI, ITE } from '../spec/index.js';
import { REASON, type ItsTables } from './its-tables.js';
import { LPI, type Lpis } from './lpis.js';

/** What a message's way through the ITS looks like to people. Called while somebody traces only. */
export class ItsSteps {
  constructor(
    private readonly name: string,
    private readonly host: HardwareHost,
    private readonly tables: ItsTables,
  ) {}

  event(reason: number): void {
    const { tables: t } = this;
    const { level1At } = t.devices;
    const memory = this.host.memoryModel;
    if (level1At >= 0 && memory.has(level1At)) {
      const words = [memory.read32(level1At), memory.read32(level1At + 4)];
      const valid = words[1]! >>> 31 === 1;
      this.tell('ITS level-1 device table entry', level1At, words, '', valid ? 'next page' : 'invalid');
      if (!valid) return;
    }
    if (reason === REASON.DEVICE_RANGE) return;
    const why =
      reason === REASON.DEVICE_UNMAPPED
        ? 'device not mapped'
        : reason === REASON.EVENT_RANGE
          ? 'EventID beyond Size'
          : 'mapped';
    this.show('GITS DTE', t.dteAt, DTE, t.dte, why);
    if (reason === REASON.DEVICE_UNMAPPED || reason === REASON.EVENT_RANGE) return;
    this.show(
      'GITS ITE',
      t.iteAt,
      ITE,
      t.ite,
      reason === REASON.OK ? `LPI ${t.intid}, collection ${t.icid}` : 'event not mapped',
    );
  }

  collection(reason: number): void {
    const { tables: t } = this;
    if (reason === REASON.COLLECTION_RANGE) return this.tell('ICID', null, [t.icid], '', 'beyond the collection table');
    this.show(
      'GITS CTE',
      t.cteAt,
      CTE,
      t.cte,
      reason === REASON.OK ? `redistributor ${t.cpu}` : 'collection not mapped',
    );
  }

  lpi(lpis: Lpis, intid: number, state: number): void {
    const why = [
      'enabled: signalled',
      'pending already',
      'disabled: pending, not delivered',
      'EnableLPIs = 0',
      'INTID out of range',
    ];
    if (state === LPI.OFF || state === LPI.OUT_OF_RANGE) return this.tell(`LPI ${intid}`, null, [], '', why[state]!);
    const at = lpis.propBase + intid - FIRST_LPI;
    const byte = lpis.configuration(intid);
    this.tell(
      `LPI ${intid} configuration byte`,
      at,
      [byte],
      `priority 0x${(byte & 0xfc).toString(16)}, enable ${byte & 1}`,
      why[state]!,
    );
  }

  private show(what: string, at: number, layout: AnyLayout, words: Uint32Array, why: string): void {
    this.tell(what, at < 0 ? null : at, [...words], decode(layout, words), why);
  }

  tell(what: string, at: number | null, words: number[], decoded: string, why: string): void {
    this.host.trace.step({ by: this.name, what, at, words, decoded, why });
  }
}
