import { DoorbellError, READ, WRITE, type Device } from '@doorbell/platform';
import type { Domain } from '@doorbell/iommu';
import { equal, telling } from './assert.js';
import type { Case } from './case.js';
import { READ_WRITE, ask, at } from './probe.js';
import { Random } from './random.js';
import type { Lab } from './subject.js';

const PAGES = 40;

/** What should be true, kept in the plainest way: page by page. */
class Oracle {
  readonly pages = new Map<Domain, ({ physical: number; rights: number } | undefined)[]>();
  readonly attached = new Map<Device, Domain>();

  expected(device: Device, page: number, access: number): string | null {
    const domain = this.attached.get(device);
    const entry = domain && this.pages.get(domain)![page];
    if (!entry || !(entry.rights & access)) return null;
    return at(entry.physical);
  }
}

/** Random maps, unmaps, attaches, moves and detaches against the naive oracle; every page of every device is asked after every few steps. */
function run(lab: Lab, seed: number, steps: number, done: string[]): void {
  const random = new Random(seed);
  const { granule } = lab;
  const devices = [lab.a, lab.b];
  const oracle = new Oracle();
  const domains = [0, 1, 2].map(() => lab.iommu.createDomain({ type: 'unmanaged', devices: [lab.a] }));
  for (const d of domains) oracle.pages.set(d, []);
  const base = lab.iova();
  for (let step = 0; step < steps; step++) {
    const domain = domains[random.below(3)]!;
    const pages = oracle.pages.get(domain)!;
    const device = devices[random.below(2)]!;
    const first = random.below(PAGES);
    const count = 1 + random.below(Math.min(8, PAGES - first));
    const where = `pages ${first}–${first + count - 1} in ${domain.name}`;
    switch (random.below(8)) {
      case 0:
      case 1:
      case 2: {
        const physical = lab.data + random.below(4000) * granule;
        const rights = lab.supports.readOnly && random.below(4) === 0 ? READ : READ_WRITE;
        const busy = pages.slice(first, first + count).some(Boolean);
        done.push(`map ${where} for ${rights === READ ? 'reading' : 'all'}`);
        let code = 'none';
        try {
          domain.map(base + first * granule, physical, count * granule, rights);
        } catch (error) {
          if (!(error instanceof DoorbellError)) throw error;
          code = error.code;
        }
        equal(code, busy ? 'IOVA_CONFLICT' : 'none', `map at step ${step}`);
        if (!busy) for (let i = 0; i < count; i++) pages[first + i] = { physical: physical + i * granule, rights };
        break;
      }
      case 3:
      case 4: {
        done.push(`unmap ${where}`);
        const there = pages.slice(first, first + count).filter(Boolean).length;
        equal(domain.unmap(base + first * granule, count * granule), there * granule, `bytes at step ${step}`);
        for (let i = 0; i < count; i++) pages[first + i] = undefined;
        break;
      }
      case 5:
        done.push(`${oracle.attached.has(device) ? 'move' : 'attach'} ${device.name} to ${domain.name}`);
        if (!oracle.attached.has(device)) lab.iommu.attach(device, domain);
        else lab.iommu.move(device, domain);
        oracle.attached.set(device, domain);
        break;
      case 6:
        if (random.below(3) === 0) {
          done.push(`detach ${device.name}`);
          lab.iommu.detach(device);
          oracle.attached.delete(device);
        }
        break;
      default:
        compare(lab, oracle, devices, base, step, seed);
    }
  }
  compare(lab, oracle, devices, base, steps, seed);
}

function compare(lab: Lab, oracle: Oracle, devices: Device[], base: number, step: number, seed: number): void {
  for (const device of devices) {
    for (let page = 0; page < PAGES; page++) {
      for (const access of [READ, WRITE]) {
        const expected = oracle.expected(device, page, access);
        const seen = ask(lab, device, base + page * lab.granule, access);
        const what = `seed ${seed}, step ${step}: ${device.name} page ${page} ${access === READ ? 'read' : 'write'}`;
        equal(seen.startsWith('fault') ? null : seen, expected, what);
      }
    }
  }
  lab.iommu.faults();
}

export const oracleCases: readonly Case[] = [
  {
    name: 'random operations agree with a naive oracle',
    unless: (s) => !s.anyLayout,
    run: (lab) => {
      for (let seed = 1; seed <= 6; seed++) {
        const done: string[] = [];
        telling(done, () => run(lab.fresh(), seed, 120, done));
      }
    },
  },
];
