import { get } from '@doorbell/bits';
import {
  TEST_ADDRESS_HI,
  TEST_ADDRESS_LO,
  TEST_BAR_SIZE,
  TEST_DATA,
  TEST_FIRE,
  TEST_GO,
  TEST_IDS,
  TEST_INTX,
  TEST_PASID,
  TEST_RESULT,
  TEST_WITHDRAW,
} from '../../spec/index.js';
import {
  definePciFunction,
  type BarHandler,
  type FunctionBehaviour,
  type FunctionDefinition,
  type FunctionPort,
  type MsiDefinition,
} from '../definition.js';

export interface TestFunctionOptions {
  readonly name?: string;
  /** Vectors of MSI-X and of MSI; absent: no such capability. */
  readonly msix?: number;
  readonly msi?: MsiDefinition['vectors'];
  /** Whether MSI has 64-bit addresses (default true) and per-vector masking (default false). */
  readonly msi64?: boolean;
  readonly perVectorMasking?: boolean;
  readonly pcie?: boolean | number;
  readonly acs?: number;
  readonly ats?: boolean;
  readonly pri?: { readonly capacity: number };
  readonly pasid?: { readonly width: number; readonly execute?: boolean; readonly privileged?: boolean };
  readonly dmaAlias?: number;
  readonly vendor?: number;
  readonly device?: number;
  readonly classCode?: number;
}

/** A function that does what software writes to BAR0: any DMA write, forged messages too, and its own vectors. */
export const testFunction = (options: TestFunctionOptions = {}): FunctionDefinition => {
  const { msix, msi, msi64, perVectorMasking, name = 'test function', ...rest } = options;
  return definePciFunction<FunctionDefinition>({
    ...TEST_IDS,
    ...rest,
    name,
    pin: 1,
    bars: { 0: { size: TEST_BAR_SIZE } },
    ...(msix && { msix: { vectors: msix } }),
    ...(msi && {
      msi: { vectors: msi, address64: msi64 ?? true, perVectorMasking: perVectorMasking ?? false },
    }),
    create: (port) => new TestFunction(port),
  });
};

class TestFunction implements FunctionBehaviour {
  readonly bars: Readonly<Record<number, BarHandler>> = { 0: this };
  private readonly words = new Uint32Array(TEST_INTX.$.at / 4 + 1);
  private readonly bytes = new Uint8Array(4);
  private readonly lane;

  constructor(private readonly port: FunctionPort) {
    this.lane = port.clock.lane();
  }

  read(offset: number, size: number): number {
    return size === 4 ? (this.words[offset >>> 2] ?? 0) : 0;
  }

  write(offset: number, size: number, value: number): void {
    if (size !== 4 || offset > TEST_INTX.$.at || offset === TEST_RESULT.$.at) return;
    this.words[offset >>> 2] = value;
    if (offset === TEST_FIRE.$.at) this.port.fire(get(value, TEST_FIRE.Vector));
    else if (offset === TEST_WITHDRAW.$.at) this.port.withdraw(get(value, TEST_WITHDRAW.Vector));
    else if (offset === TEST_INTX.$.at) this.port.intx(get(value, TEST_INTX.Assert) === 1);
    else if (offset === TEST_GO.$.at) {
      // As the registers stand now: they may be written again before the access completes.
      const job = this.words.slice();
      this.lane.run(() => this.access(job));
    }
  }

  reset(): void {
    this.words.fill(0);
  }
  snapshot(): Uint32Array {
    return this.words.slice();
  }
  restore(words: Uint32Array): void {
    this.words.set(words);
  }

  private access(job: Uint32Array): void {
    const { dma } = this.port;
    const go = job[TEST_GO.$.at / 4]!;
    const hi = job[TEST_ADDRESS_HI.$.at / 4]!;
    const lo = job[TEST_ADDRESS_LO.$.at / 4]!;
    const pasid = get(go, TEST_GO.UsePasid) ? get(job[TEST_PASID.$.at / 4]!, TEST_PASID.Pasid) : -1;
    const kind = get(go, TEST_GO.Kind);
    if (get(go, TEST_GO.SpoofRequester)) dma.spoof(get(go, TEST_GO.Requester));
    let verdict = 0;
    if (get(go, TEST_GO.Write)) verdict = dma.write32(hi, lo, job[TEST_DATA.$.at / 4]!, pasid, kind);
    else if (get(go, TEST_GO.Read)) {
      const b = this.bytes;
      verdict = dma.read(hi, lo, b, pasid, kind);
      this.words[TEST_DATA.$.at / 4] = b[0]! | (b[1]! << 8) | (b[2]! << 16) | (b[3]! << 24);
    }
    if (get(go, TEST_GO.SpoofRequester)) dma.spoof(-1);
    const done = get(this.words[TEST_RESULT.$.at / 4]!, TEST_RESULT.Done) + 1;
    this.words[TEST_RESULT.$.at / 4] = verdict | ((done & 0xffff) << 8) | (Number(dma.landed) << 31);
  }
}
