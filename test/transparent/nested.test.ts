import { Stage2Table, type Smmu, type SmmuDriver, type SmmuGuestStage1 } from '@doorbell/arm-smmuv3';
import { virt, virtMemory } from '@doorbell/boards';
import { conformanceCases, excluded } from '@doorbell/conformance';
import { IOMMU, type Domain, type GuestView } from '@doorbell/iommu';
import { CPU_INTERFACE } from '@doorbell/irqchip';
import { at, edu, PCI } from '@doorbell/pci';
import {
  after,
  hex,
  immediate,
  Platform,
  READ,
  seeded,
  Verdict,
  WRITE,
  type CompletionPolicy,
} from '@doorbell/platform';
import { afterAll, describe, expect, it } from 'vitest';
import { arm } from '../conformance/subjects.js';

const WINDOW = { base: 0x800_0000, size: 0x10_0000 };
const RW = READ | WRITE;
/** The guest's memory: 64 KiB of IPAs, and where they lie. */
const IPA = 0x8000_0000;
const MEMORY = 0x4010_0000;
/** In it: the CD, three levels of tables, data. */
const CD = 0x0;
const TABLES = 0x1000;
const DATA = 0x8000;
/** A page for everyone to read and write (AF, AP[1], nG), without AttrIndx. */
const PAGE = 0xc43;
const TABLE = 3;

/** A virtual machine with one function behind a nested SMMU; its memory is in the parent's domain. */
class Guest {
  readonly platform: Platform;
  readonly parent: Domain;
  readonly fn;
  readonly iommu;
  readonly arrived: string[] = [];

  constructor(completion: CompletionPolicy = immediate()) {
    this.platform = new Platform({ memory: virtMemory(), completion })
      .use(
        virt({
          cpus: 2,
          smmu: { stages: 'both', stage: 2 },
          functions: [at('04.0', edu({ dmaBits: 64, msix: 4 }))],
        }),
      )
      .compose();
    this.iommu = this.platform.service(IOMMU);
    this.fn = this.platform.service(PCI).get('00:04.0');
    this.parent = this.iommu.createDomain({ type: 'unmanaged', devices: [this.fn], name: 'vm' });
    this.iommu.attach(this.fn, this.parent);
    this.parent.map(IPA, MEMORY, 0x1_0000, RW);
    // IHI 0070 §5.4: T0SZ 25, EPD1, V; IPS 5, AA64, R, A, ASID 1; TTB0 is an IPA
    this.words(CD, 0xc000_0019, 0x0001_6205, IPA + TABLES, 0);
  }

  /** The guest writes its own memory. */
  words(offset: number, ...words: number[]): void {
    words.forEach((w, i) => this.platform.memory.write32(MEMORY + offset + 4 * i, w >>> 0));
  }

  /** The guest maps a page in its stage 1: 39 bits, levels 1 to 3; all that these tests map share one level-3 table. */
  map(va: number, ipa: number | null): void {
    this.words(TABLES + 8 * Math.floor(va / 2 ** 30), (IPA + TABLES + 0x1000) | TABLE, 0);
    this.words(TABLES + 0x1000 + 8 * (Math.floor(va / 2 ** 21) % 512), (IPA + TABLES + 0x2000) | TABLE, 0);
    this.words(TABLES + 0x2000 + 8 * (Math.floor(va / 4096) % 512), ipa === null ? 0 : ipa | PAGE, 0);
  }

  nest(guestView?: GuestView, guest: SmmuGuestStage1 = { tables: IPA + CD }): Domain {
    return this.iommu.createDomain({ type: 'nested', parent: this.parent, guest, ...(guestView && { guestView }) });
  }

  get driver(): SmmuDriver {
    return this.platform.driver('smmu0') as SmmuDriver;
  }

  fire(): void {
    this.fn.bar(0).write32(0x60, 1);
    this.platform.settle();
    this.fn.bar(0).write32(0x64, 1);
    const cpus = this.platform.get(CPU_INTERFACE);
    for (const cpu of [0, 1]) {
      for (let n = cpus.acknowledge(cpu); n !== null; n = cpus.acknowledge(cpu)) {
        cpus.end(cpu, n);
        this.arrived.push(`${n}@${cpu}`);
      }
    }
  }

  enable(cpu: number) {
    return this.platform.service(PCI).allocateVectors(this.fn, { min: 1, max: 1, kinds: ['msix', 'msi'], cpus: [cpu] });
  }

  /** A DMA of the function: the verdict and the word behind it. */
  reads(va: number): string {
    const bytes = new Uint8Array(4);
    const verdict = this.platform.fabric().read(this.fn.requester, 0, va, bytes);
    return verdict === Verdict.fault
      ? this.platform.fabric().outcome.fault
      : hex(new DataView(bytes.buffer).getUint32(0, true));
  }
}

const guests: Guest[] = [];
const guest = (completion?: CompletionPolicy): Guest => {
  const g = new Guest(completion);
  guests.push(g);
  return g;
};
afterAll(() => guests.forEach((g) => g.platform.dispose()));

const policies = [immediate(), after(3), ...Array.from({ length: 20 }, (_, i) => seeded(i + 1))];

describe('transparent MSI in a nested domain: SMMUv3, both stages', () => {
  it.each(policies)('the guest maps the doorbell where the parent has it; hardware completes $name', (policy) => {
    const g = guest(policy);
    expect(g.iommu.msiDemand([g.fn], g.parent)).toMatchObject({ pages: 1, bytes: 4096 });
    g.parent.reserveMsiWindow(WINDOW);
    g.map(WINDOW.base, WINDOW.base);
    const nested = g.nest();
    g.iommu.move(g.fn, nested);
    const vectors = g.enable(1);
    expect(vectors.message(0)).toMatchObject({ addressHi: 0, addressLo: WINDOW.base + 0x40 });
    expect(g.parent.iovaToPhys(WINDOW.base + 0x40)).toBe(0x0809_0040);
    g.fire();
    expect(g.arrived).toEqual(['8192@1']);
    vectors.free();
  });

  it('or elsewhere: the message is a stage-1 input, and the walk shows both stages', () => {
    const g = guest();
    g.parent.reserveMsiWindow(WINDOW);
    const where = 0x1234_5000;
    g.map(where, WINDOW.base);
    g.iommu.move(g.fn, g.nest({ doorbell: (ipa) => ipa - WINDOW.base + where }));
    const { addressLo, data } = g.enable(0).message(0);
    expect(hex(addressLo)).toBe(hex(where + 0x40));
    const { steps } = g.platform.trace.record(() => g.platform.fabric().write32(g.fn.requester, 0, addressLo, data));
    const seen = steps
      .map((s) => s.what)
      .filter((what) => /STE|CD|stage-[12] descriptor|TLB|IPA|DTE|ITE|CTE/.test(what));
    console.log(`nested MSI: ${hex(addressLo)} → ${hex(WINDOW.base + 0x40)} → 0x8090040; ${seen.join(', ')}`);
    expect(steps.some((s) => s.what.startsWith('stage-1 descriptor, level 3'))).toBe(true);
    expect(steps.some((s) => s.what.startsWith('stage-2 descriptor'))).toBe(true);
    expect(g.platform.get(CPU_INTERFACE).acknowledge(0)).toBe(8192);
    g.fire();
    expect(g.arrived).toEqual(['8192@0']);
  });

  it('a guest that does not map it loses its own MSI: a stage-1 fault, told by the event queue', () => {
    const g = guest();
    g.parent.reserveMsiWindow(WINDOW);
    g.map(0x1000, IPA + DATA);
    g.iommu.move(g.fn, g.nest());
    g.enable(0);
    g.fire();
    expect(g.arrived).toEqual([]);
    expect(g.iommu.faults().map((f) => [f.name, f.write, hex(f.addressLo)])).toEqual([
      ['F_TRANSLATION', true, '0x8000040'],
    ]);
  });

  it('the window is the parent’s: missing there, MSI_WINDOW_MISSING; the nested one takes none', () => {
    const g = guest();
    const nested = g.nest();
    g.iommu.move(g.fn, nested);
    expect(() => g.enable(0)).toThrow(expect.objectContaining({ code: 'MSI_WINDOW_MISSING' }));
    expect(() => nested.reserveMsiWindow(WINDOW)).toThrow(expect.objectContaining({ code: 'MSI_WINDOW_OF_PARENT' }));
    expect(() => nested.map(0, MEMORY, 4096, RW)).toThrow(expect.objectContaining({ code: 'NOT_A_PAGING_DOMAIN' }));
    expect(() => nested.iovaToPhys(0)).toThrow(expect.objectContaining({ code: 'NOT_A_PAGING_DOMAIN' }));
  });

  it('moves between parent and guest with live MSIs, hitless: one 64-bit write of the STE', () => {
    const g = guest();
    g.parent.reserveMsiWindow(WINDOW);
    g.map(WINDOW.base, WINDOW.base);
    const vectors = g.enable(1);
    const message = vectors.message(0);
    const nested = g.nest();
    expect(g.driver.hitless(0x20, g.parent.target, nested.target)).toBe(true);
    for (const domain of [nested, g.parent, nested]) {
      g.iommu.move(g.fn, domain);
      expect(vectors.message(0)).toEqual(message);
      g.fire();
    }
    expect(g.arrived).toEqual(['8192@1', '8192@1', '8192@1']);
    const other = g.iommu.createDomain({ type: 'unmanaged', devices: [g.fn] });
    expect(g.driver.hitless(0x20, nested.target, other.target)).toBe(false);
  });
});

describe('a guest and its memory', () => {
  it('reaches its own memory through both stages; what the parent unmaps is gone at once', () => {
    const g = guest();
    g.map(0x1000, IPA + DATA);
    g.words(DATA + 0x10, 0x600d_f00d);
    g.iommu.move(g.fn, g.nest());
    g.fn.setBusMaster(true);
    expect(g.reads(0x1010)).toBe('0x600df00d');
    g.parent.unmap(IPA + DATA, 0x1000);
    expect(g.reads(0x1010)).toBe('F_TRANSLATION');
    expect(() => g.iommu.destroyDomain(g.parent)).toThrow(expect.objectContaining({ code: 'DOMAIN_BUSY' }));
  });

  it('its invalidations: stale until they come; VMIDs and streams are the host’s; others’ commands are refused', () => {
    const g = guest();
    g.map(0x1000, IPA + DATA);
    g.words(DATA, 0x1111_1111);
    const nested = g.nest();
    g.iommu.move(g.fn, nested);
    expect(g.reads(0x1000)).toBe('0x11111111');
    g.map(0x1000, null);
    expect(g.reads(0x1000)).toBe('0x11111111');
    const run = (...w: number[]) =>
      g.driver.guestInvalidate(nested.table!, [Uint32Array.from([...w, 0, 0, 0, 0].slice(0, 4))], (v) =>
        v === 7 ? g.fn.requester : undefined,
      );
    // whatever VMID the guest says
    run(0x12, 0x77 | (1 << 16), 0x1000);
    expect(g.reads(0x1000)).toBe('F_TRANSLATION');
    g.map(0x1000, IPA + DATA);
    expect(g.reads(0x1000)).toBe('0x11111111');
    g.map(0x1000, null);
    run(0x30); // all: of this guest
    expect(g.reads(0x1000)).toBe('F_TRANSLATION');
    // its CD changes: EPD0 = 1
    g.map(0x1000, IPA + DATA);
    expect(g.reads(0x1000)).toBe('0x11111111');
    g.words(CD, 0xc000_4019);
    run(0x05, 7); // CFGI_CD of virtual stream 7
    run(0x30);
    expect(g.reads(0x1000)).toBe('F_TRANSLATION');
    for (const refused of [[0x05, 8], [0x28, 1], [0x2a, 1], [0x03, 7], [0x04, 0, 31], [0x46], [0x40], [0]])
      expect(() => run(...refused)).toThrow(expect.objectContaining({ code: 'GUEST_COMMAND_REFUSED' }));
  });

  it('its STE is vetted: foreign bits, stage 2 and reserved Configs are refused; bypass and abort are what they say', () => {
    const g = guest();
    g.words(DATA, 0x2222_2222);
    const ste = (...w: number[]) => g.nest(undefined, { tables: 0, ste: [w[0]!, w[1] ?? 0, w[2] ?? 0, w[3] ?? 0] });
    // V and Config: 1 | config << 1
    for (const w of [[0xd], [0xf], [0x3], [0xb, 0, 1 << 19], [0xb, 0, 0, 1 << 12], [0xb, 0, 1 << 28]])
      expect(() => ste(...w)).toThrow(expect.objectContaining({ code: 'GUEST_STE_REFUSED' }));
    g.iommu.move(g.fn, ste(0x9));
    expect(g.reads(IPA + DATA)).toBe('0x22222222'); // bypass: stage 2 alone
    g.iommu.move(g.fn, ste(0x1));
    expect(g.reads(IPA + DATA)).toBe('STE_ABORT');
    g.iommu.move(g.fn, ste(0));
    expect(g.reads(IPA + DATA)).toBe('STE_ABORT');
    g.map(0x1000, IPA + DATA);
    g.iommu.move(g.fn, ste((IPA + CD) | 0xb, 0, 0xd4));
    expect(g.reads(0x1000)).toBe('0x22222222');
  });

  it('the words of both STEs', () => {
    const g = guest();
    const { memory, bus } = g.platform;
    const l1 = bus.read32(0x0905_0080);
    const at = (bus.memory.read32(l1) & ~0xfff) + 64 * g.fn.requester;
    const words = () => Array.from({ length: 8 }, (_, i) => hex(memory.read32(at + 4 * i)));
    const root = hex((g.parent.table as Stage2Table).rootAddress);
    // Config S2; SHCFG 1; S2VMID 1; S2R, S2PTW, S2AA64, S2PS 4, S2SH0 3, S2OR0 1, S2IR0 1, S2SL0 2, S2T0SZ 20
    expect(words()).toEqual(['0xd', '0x0', '0xd4', '0x1000', '0x1', '0x44c3594', root, '0x0']);
    g.iommu.move(g.fn, g.nest());
    expect(words()).toEqual([hex(IPA + 0xf), '0x0', '0xd4', '0x1000', '0x1', '0x44c3594', root, '0x0']);
  });

  it('takes everything back when the unit refuses a command of the move, whichever it is', () => {
    const g = guest();
    const nested = g.nest();
    g.map(0x1000, IPA + DATA);
    let refused = 0;
    for (let k = 0; k < 12; k++) {
      const before = [g.platform.memoryModel.digest(), g.iommu.digest()];
      (g.platform.model('smmu0') as Smmu).refuseCommand(k);
      try {
        g.iommu.move(g.fn, nested);
        (g.platform.model('smmu0') as Smmu).refuseCommand(-1);
        break;
      } catch (error) {
        (g.platform.model('smmu0') as Smmu).refuseCommand(-1);
        expect(error).toMatchObject({ code: 'HARDWARE_REFUSED' });
        expect(g.iommu.digest()).toBe(before[1]);
        expect(g.reads(IPA + DATA)).toBe('0x0');
        refused++;
      }
    }
    expect(refused).toBeGreaterThanOrEqual(3);
    expect(g.iommu.domainOf(g.fn)).toBe(nested);
  });
});

const second = arm({ stages: 'both', stage: 2 }, 'SMMUv3 stage 2 + ITS');
const supports = { ...second.supports, writeOnly: true };
console.log(`${second.name}: left out of the kit: ${excluded(supports).join(', ') || 'nothing'}`);
describe.each([immediate(), seeded(1)])('the kit on stage 2, $name', (policy) => {
  for (const c of conformanceCases(second.factory, supports, policy)) it(c.name, c.run);
});
