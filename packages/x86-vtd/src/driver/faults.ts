import { getAt, getHi, getLo, long } from '@doorbell/bits';
import type { UnitFault } from '@doorbell/iommu';
import type { RegisterPort } from '@doorbell/platform';
import { FAULT_NAMES, FRCD, FSTS } from '../spec/index.js';
import type { VtdCapabilities } from './capabilities.js';

/** FI with its low bits zero: the address, or an interrupt index in bits 63:48. */
const FI = long(63, 0);

/** Primary fault records (VT-d §7.2.1, §7.3): reads them in the order in which they were written and gives them back. */
export class FaultReader {
  constructor(
    private readonly name: string,
    private readonly registers: RegisterPort,
    private readonly unit: VtdCapabilities,
  ) {}

  drain(): UnitFault[] {
    const { registers } = this;
    const out: UnitFault[] = [];
    const words = new Uint32Array(4);
    const status = registers.read32(FSTS.$.at);
    if (status & FSTS.PPF.mask) {
      const first = (status >>> FSTS.FRI.lsb) & 0xff;
      for (let i = 0; i < this.unit.faultRecords; i++) {
        const at = this.unit.faultOffset + 16 * ((first + i) % this.unit.faultRecords);
        words[3] = registers.read32(at + 12);
        if (getAt(words, 0, FRCD.F) === 0) break;
        for (let w = 0; w < 3; w++) words[w] = registers.read32(at + 4 * w);
        out.push(this.decode(words));
        registers.write32(at + 12, FRCD.F.mask >>> 0);
      }
    }
    // Records first: a full set of them would raise the overflow again.
    if (status & FSTS.PFO.mask) registers.write32(FSTS.$.at, FSTS.PFO.mask);
    return out;
  }

  private decode(words: Uint32Array): UnitFault {
    const code = getAt(words, 0, FRCD.FR);
    return {
      unit: this.name,
      stream: getAt(words, 0, FRCD.SID),
      code,
      name: FAULT_NAMES[code]!,
      addressHi: getHi(words, 0, FI),
      addressLo: getLo(words, 0, FI),
      write: getAt(words, 0, FRCD.T1) === 0,
    };
  }
}
