import { CPU_INTERFACE } from '@doorbell/irqchip';
import { q35, q35Memory } from '@doorbell/boards';
import { at, edu } from '@doorbell/pci';
import { Platform, type CpuPort, type Delivery, type MemoryPort } from '@doorbell/platform';
import { lapicState, Q35, startQ35, type QemuMachine } from '@doorbell/qemu';

/** What a delivery was, in the words of QEMU's trace event apic_deliver_irq. */
export interface Sent {
  readonly destination: number;
  readonly logical: number;
  readonly delivery: number;
  readonly vector: number;
  readonly level: number;
}

/** A machine with a VT-d unit at 0xfed90000 and two `edu` functions, 00:05.0 and 00:06.0: ours or QEMU's. */
export interface Side {
  readonly name: 'model' | 'QEMU';
  readonly cpu: CpuPort;
  readonly memory: MemoryPort;
  settle(): void;
  /** What reached the APICs since the last call. */
  sent(): Sent[];
  /** Vectors in the IRR of a CPU. */
  requested(cpu: number): readonly number[];
  close(): void;
}

export interface UnitOptions {
  readonly awBits?: 39 | 48;
  readonly cachingMode?: boolean;
}

export const RAM = 64 * 2 ** 20;
const DELIVERY = ['fixed', 'lowest-priority', 'smi', 'reserved', 'nmi', 'init', 'reserved', 'extint'];

export function modelSide({ awBits = 48, cachingMode = false }: UnitOptions): Side {
  const functions = [at('05.0', edu({ dmaBits: 64 })), at('06.0', edu({ dmaBits: 64 }))];
  const platform = new Platform({ memory: q35Memory(RAM) })
    .use(q35({ functions, vtd: { awBits, cachingMode } }))
    .compose();
  const { cpu } = platform;
  cpu.out32!(0xcf8, 0x8000_0060);
  cpu.out32!(0xcfc, (Q35.ecam | 1) >>> 0);
  const sent: Sent[] = [];
  platform.hooks.delivered.tap('differential', (event: Delivery) => {
    sent.push({
      destination: Number(event['destination']),
      logical: event['destinationMode'] === 'logical' ? 1 : 0,
      delivery: DELIVERY.indexOf(String(event['deliveryMode'])),
      vector: Number(event['vector']),
      level: event['triggerMode'] === 'level' ? 1 : 0,
    });
  });
  return {
    name: 'model',
    cpu,
    memory: platform.memory,
    settle: () => platform.settle(),
    sent: () => sent.splice(0),
    requested: (n) => platform.get(CPU_INTERFACE).pending(n),
    close: () => platform.dispose(),
  };
}

export function qemuSide({ awBits = 48, cachingMode = false }: UnitOptions): Side {
  const eduAt = (slot: number) => `edu,addr=${slot}.0,dma_mask=0xffffffffffffffff`;
  const machine: QemuMachine = startQ35({
    cpus: 2,
    memory: RAM / 2 ** 20,
    iommu: `intel-iommu,intremap=on,aw-bits=${awBits},caching-mode=${cachingMode ? 'on' : 'off'}`,
    devices: [eduAt(5), eduAt(6)],
    trace: ['apic_deliver_irq'],
  });
  return {
    name: 'QEMU',
    cpu: machine.cpu,
    memory: machine.memory,
    settle: () => undefined,
    sent: () =>
      machine.traceLines().flatMap((line) => {
        const m =
          /apic_deliver_irq dest (\d+) dest_mode (\d+) delivery_mode (\d+) vector (\d+) trigger_mode (\d+)/.exec(line);
        if (!m) return [];
        const [destination, logical, delivery, vector, level] = m.slice(1).map(Number) as [
          number,
          number,
          number,
          number,
          number,
        ];
        return [{ destination, logical, delivery, vector, level }];
      }),
    requested: (n) => lapicState(machine, n).requested,
    close: () => machine.close(),
  };
}
