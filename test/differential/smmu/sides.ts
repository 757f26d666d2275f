import { Smmu } from '@doorbell/arm-smmuv3';
import { definePlugin, immediate, Platform, WRITE, type CpuPort, type MemoryPort } from '@doorbell/platform';
import { VIRT, type QemuMachine } from '@doorbell/qemu';
import { Edu } from '../../support/edu.js';
import { build, commands, events, SID, SMMU, start, targetOf, type Config } from './config.js';

/** What a configuration came to, as far as both sides let one see. */
export interface Result {
  /** `moved`: the word went from the target page to the device, or from the device to it; `elsewhere`, `none`. */
  readonly effect: string;
  readonly events: readonly string[];
  readonly gerror: number;
  readonly cons: number;
}

const SCRATCH = 0x4300_0000;
const OUT = 0xdead_0001;
const IN = 0xcafe_0002;

/** Hardware with one device that does 4-byte DMAs. */
export interface Side {
  readonly cpu: CpuPort;
  readonly memory: MemoryPort;
  /** From memory into the device. */
  load(address: number): void;
  /** From the device into memory. */
  store(address: number): void;
}

export function run(side: Side, c: Config): Result {
  const { cpu, memory } = side;
  cpu.write32(SMMU + 0x20, 0);
  memory.write32(SCRATCH, OUT);
  side.load(SCRATCH); // the device holds OUT
  start(cpu, memory, c);
  const target = targetOf(c);
  const probe = (config: Config) => {
    memory.write32(target, IN);
    if (config.access === WRITE) side.store(config.iova);
    else side.load(config.iova);
  };
  probe(c);
  if (c.before) {
    build(memory, { ...c, ...c.before.change });
    commands(cpu, memory, c.before.commands);
    // the device holds OUT again without a word to the SMMU's caches only if nothing was loaded: staleness is probed by writes
    probe({ ...c, access: c.access });
  }
  const after = memory.read32(target);
  const seen = events(cpu, memory);
  const gerror = cpu.read32(SMMU + 0x60) ^ cpu.read32(SMMU + 0x64);
  const cons = cpu.read32(SMMU + 0x9c);
  let effect: string;
  if (c.access === WRITE) effect = after === OUT ? 'moved' : after === IN ? 'none' : 'elsewhere';
  else {
    cpu.write32(SMMU + 0x20, 0);
    side.store(SCRATCH);
    const held = memory.read32(SCRATCH);
    effect = held === IN ? 'moved' : held === OUT || held === 0xffff_ffff || held === 0 ? 'none' : 'elsewhere';
  }
  return { effect, events: seen, gerror, cons };
}

/** Our model behind a host bridge; the device is the fabric's upstream port. */
export function modelSide(): Side {
  const platform = new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 28 }], completion: immediate() })
    .use(
      definePlugin(
        'smmu-alone',
        {
          compatible: ['arm,smmu-v3'],
          model: { create: (ctx) => new Smmu('smmu0', SMMU, ctx.host, {}) },
        },
        [{ name: 'smmu0', compatible: 'arm,smmu-v3', reg: [{ base: SMMU, size: 0x20000 }] }],
      ),
    )
    .compose();
  const fabric = platform.fabric();
  fabric.claim(platform.model('smmu0') as Smmu);
  const buffer = new Uint8Array(4);
  return {
    cpu: platform.bus,
    memory: platform.memoryModel,
    load: (at) => {
      const got = new Uint8Array(4);
      if (fabric.read(SID, Math.floor(at / 2 ** 32), at >>> 0, got) !== 2) buffer.set(got);
    },
    store: (at) => void fabric.write(SID, Math.floor(at / 2 ** 32), at >>> 0, buffer),
  };
}

/** A running QEMU with `edu` at 00:04.0. */
export function qemuSide(machine: QemuMachine): Side {
  const edu = new Edu(machine.cpu, VIRT.ecam + (4 << 15), VIRT.bars);
  const dma = (direction: 'read' | 'write', at: number) => {
    edu.start(direction, at);
    machine.waitUntil('edu', () => !edu.busy);
  };
  return { cpu: machine.cpu, memory: machine.memory, load: (at) => dma('read', at), store: (at) => dma('write', at) };
}
