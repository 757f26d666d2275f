import { definePlugin, type MmioRegion, type Plugin } from '@doorbell/platform';
import {
  INTERRUPTS,
  NumberSpace,
  type Doorbell,
  type MsiBlock,
  type MsiRequest,
  type Prepared,
  type RootLevel,
} from '@doorbell/irqchip';

/** A doorbell register that writes down who wrote what: the least that turns an MSI into something one can see. */
export class DoorbellModel implements MmioRegion {
  readonly name = 'doorbell';
  readonly regions = [this as MmioRegion];
  readonly sizes = [4];
  readonly writes: { offset: number; value: number; source: number }[] = [];
  constructor(
    readonly base: number,
    readonly size: number,
  ) {}
  read(): number {
    return 0;
  }
  write(offset: number, _size: number, value: number, source: number): void {
    this.writes.push({ offset, value, source });
  }
}

/** Number n of CPU c is data n at doorbell + c · stride. */
export class TestRoot implements RootLevel<number> {
  readonly name = 'test root';
  readonly cpus = [0, 1];
  readonly numbers: NumberSpace;
  constructor(
    readonly base: number,
    vectors: number,
    readonly stride = 4,
    first = 0x40,
  ) {
    this.numbers = new NumberSpace('test root', first, vectors);
  }
  doorbells(): readonly Doorbell[] {
    return this.cpus.map((c) => ({ address: this.base + this.stride * c, name: `doorbell of CPU ${c}`, exposes: [] }));
  }
  prepare(request: MsiRequest): Prepared<number> {
    const { count } = request;
    const align = 2 ** Math.ceil(Math.log2(count));
    const first = request.contiguous ? this.numbers.takeBlock(count, align) : -1;
    const targets = first < 0 ? this.numbers.take(count) : Array.from({ length: count }, (_, i) => first + i);
    const give = () => this.numbers.give(targets);
    return { targets, commit: () => undefined, release: give, cancel: give };
  }
  compose(_: unknown, block: MsiBlock, index: number) {
    const address = this.base + this.stride * block.cpus[index]!;
    return {
      addressHi: Math.floor(address / 2 ** 32),
      addressLo: address >>> 0,
      data: block.share<Prepared<number>>(this).targets[index]!,
    };
  }
  prepareAffinity(block: MsiBlock, index: number, cpu: number) {
    const before = block.cpus[index]!;
    return { commit: () => void (block.cpus[index] = cpu), cancel: () => void (block.cpus[index] = before) };
  }
  owner(): undefined {
    return undefined;
  }
  senderCheck() {
    return { scope: 'none' as const, witness: 'nobody looks' };
  }
  digest(): string {
    return this.numbers.digest();
  }
}

/** The doorbell at `base` with its controller's driver. */
export const testRoot = (base = 0xfee0_0000, vectors = 256, stride = 4): { plugin: Plugin; root: TestRoot } => {
  const root = new TestRoot(base, vectors, stride);
  const plugin = definePlugin(
    'test root',
    {
      compatible: ['test,root'],
      model: { create: () => new DoorbellModel(base, 8192) },
      driver: {
        create: (context) => {
          context.service(INTERRUPTS).addRoot('root0', root);
          return {};
        },
      },
    },
    [{ name: 'root0', compatible: 'test,root', reg: [{ base, size: 8192 }] }],
  );
  return { plugin, root };
};
