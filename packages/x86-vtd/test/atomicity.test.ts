import { HardwareError, newOutcome, newRequest, READ, WRITE } from '@doorbell/platform';
import type { Domain } from '@doorbell/iommu';
import type { MsiBlock } from '@doorbell/irqchip';
import { describe, expect, it } from 'vitest';
import { device, machine, POLICIES, RW, type TestMachine } from './machine.js';

const nic = device(0x21);
const disk = device(0x108);
const forger = device(0x30);

/** A platform with everything in use: two domains, live interrupts. */
interface World extends TestMachine {
  readonly a: Domain;
  readonly b: Domain;
  readonly block: MsiBlock;
}

function world(options: Parameters<typeof machine>[0], policy: (typeof POLICIES)[number]): World {
  const m = machine(options, policy);
  const a = m.iommu.createDomain({ type: 'unmanaged', devices: [nic] });
  const b = m.iommu.createDomain({ type: 'unmanaged', devices: [nic] });
  a.map(0x10_0000, 0x20_0000, 0x4000, RW);
  a.map(0x4000_0000, 0x60_0000, 0x20_0000, RW);
  b.map(0x10_0000, 0x30_0000, 0x2000, READ);
  m.iommu.attach(nic, a);
  const block = m.core.domainFor(nic).allocate({ count: 2, cpus: [0, 1] });
  return { ...m, a, b, block };
}

/** What every requester gets, for addresses and messages that matter: the observable state. */
function observe(w: World): string {
  const request = newRequest();
  const out = newOutcome();
  const seen: string[] = [];
  for (const { requester } of [nic, disk, forger]) {
    for (const iova of [0x10_0000, 0x10_1000, 0x10_3000, 0x4000_0000, 0x4010_0000, 0x7000_0000]) {
      for (const access of [READ, WRITE]) {
        Object.assign(request, { requester, stream: requester, hi: 0, lo: iova, access, size: 4 });
        const verdict = w.unit.translate(request, out);
        seen.push(`${verdict}${verdict === 2 ? out.fault : out.pa.toString(16)}`);
      }
    }
    for (let i = 0; i < w.block.count; i++) {
      const { addressHi, addressLo, data } = w.block.message(i);
      w.platform.fabric().write32(requester, addressHi, addressLo, data);
      seen.push(`${requester.toString(16)}:${addressLo.toString(16)}/${data}:${w.platform.fabric().landed}`);
    }
  }
  for (const cpu of [0, 1, 2, 3]) {
    for (let v = w.cpu.acknowledge(cpu); v !== null; v = w.cpu.acknowledge(cpu)) {
      w.cpu.end(cpu, v);
      seen.push(`cpu${cpu} vector ${v} ${w.core.owner(cpu, v)?.index}`);
    }
  }
  w.iommu.faults();
  return seen.join(' ');
}

/** Calls that tell the unit something. */
const CALLS: readonly [string, (w: World) => void][] = [
  ['attach a new stream', (w) => w.iommu.attach(disk, w.a)],
  ['attach to a new domain', (w) => w.iommu.attach(disk, w.b)],
  ['move to another domain', (w) => w.iommu.move(nic, w.b)],
  ['detach', (w) => w.iommu.detach(nic)],
  ['attach to identity', (w) => w.iommu.attach(disk, w.iommu.createDomain({ type: 'identity' }))],
  ['unmap a page', (w) => void w.a.unmap(0x10_1000, 0x1000)],
  ['unmap a large page', (w) => void w.a.unmap(0x4000_0000, 0x20_0000)],
  ['map', (w) => w.a.map(0x7000_0000, 0x50_0000, 0x1000, RW)],
  ['change affinity', (w) => void w.block.setAffinity(1, 3)],
  ['allocate vectors', (w) => void w.core.domainFor(disk).allocate({ count: 4, contiguous: true })],
];

describe.each(POLICIES)('a refused command, $name', (policy) => {
  describe.each([{ cachingMode: false }, { cachingMode: true }])('caching mode $cachingMode', (options) => {
    it.each(CALLS)('%s: whichever command is refused, everything is as before', (_name, call) => {
      const reference = world(options, policy);
      const before = observe(reference);
      let refusals = 0;
      for (let k = 1; ; k++) {
        const w = world(options, policy);
        expect(observe(w)).toBe(before);
        const digest = [w.iommu.digest(), w.core.digest()];
        w.unit.refuseCommand(k);
        let error: unknown;
        try {
          call(w);
        } catch (thrown) {
          error = thrown;
        }
        // Not reached: the call has fewer than k commands.
        if (w.unit.refuseCommand(0) > 0) {
          expect(error).toBeUndefined();
          break;
        }
        refusals++;
        expect(error).toBeInstanceOf(HardwareError);
        expect(observe(w)).toBe(before);
        expect([w.iommu.digest(), w.core.digest()]).toEqual(digest);
        // The unit works on: the same call succeeds now.
        call(w);
        expect(observe(w)).toBe(observe(afterwards(options, policy, call)));
      }
      // Without caching mode nothing has to be told of what was not there before.
      const silent = !options.cachingMode && /attach to|attach a|^map|allocate/.test(_name);
      expect(refusals).toSatisfy((n: number) => (silent ? n === 0 : n >= 2));
    });
  });

  it('frees vectors though one invalidation is refused: it is asked for again', () => {
    for (const k of [1, 2]) {
      const w = world({}, policy);
      const used = w.core.digest();
      w.unit.refuseCommand(k);
      const extra = w.core.domainFor(disk).allocate({ count: 1 });
      const message = extra.message(0);
      extra.free();
      expect(w.core.digest()).toBe(used);
      w.platform.fabric().write32(disk.requester, message.addressHi, message.addressLo, message.data);
      expect(w.platform.fabric().outcome.fault).toBe('IRTE_NOT_PRESENT');
    }
  });
});

function afterwards(options: { cachingMode: boolean }, policy: (typeof POLICIES)[number], call: (w: World) => void) {
  const w = world(options, policy);
  observe(w);
  call(w);
  return w;
}
