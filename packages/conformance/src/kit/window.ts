import { check, equal, throwsCode } from './assert.js';
import type { Case } from './case.js';
import { fingerprint } from './fingerprint.js';
import { enable } from './kit-function.js';
import { ready } from './msi.js';
import { READ_WRITE, ask, at, taken } from './probe.js';
import type { DoorbellPage } from '@doorbell/iommu';

const WINDOW = 0x800_0000;

/** The MSI window: demand, reservation, exhaustion, conflicts, reach, reference counts. */
export const windowCases: readonly Case[] = [
  {
    name: 'no window: MSI_WINDOW_MISSING, and nothing changed',
    run: (lab) => {
      lab.domain(lab.a);
      const before = fingerprint(lab);
      const error = throwsCode('MSI_WINDOW_MISSING', 'enabling', () => enable(lab, lab.a, 1));
      equal(error.details['needed'], lab.supports.doorbellPages, 'pages needed, against supports.doorbellPages');
      equal(fingerprint(lab), before, 'state after the refusal');
    },
  },
  {
    name: 'a blocked device cannot have interrupts: MSI_DOMAIN_BLOCKED',
    run: (lab) => {
      const before = fingerprint(lab);
      throwsCode('MSI_DOMAIN_BLOCKED', 'enabling', () => enable(lab, lab.a, 1));
      equal(fingerprint(lab), before, 'state after the refusal');
    },
  },
  {
    name: 'the demand is what enabling takes, and the message points into the window with the doorbell’s offset',
    run: (lab) => {
      const domain = lab.domain(lab.a);
      const demand = lab.iommu.msiDemand([lab.a], domain);
      equal(demand.pages, lab.supports.doorbellPages, 'pages of msiDemand(), against supports.doorbellPages');
      equal(demand.bytes, demand.pages * demand.granule, 'bytes');
      const window = domain.reserveMsiWindow({ base: WINDOW, size: demand.bytes });
      const fn = enable(lab, lab.a, 2);
      equal(window.free, 0, 'free pages');
      for (const [i, m] of fn.messages.entries()) {
        const address = m.addressHi * 2 ** 32 + m.addressLo;
        check(address >= WINDOW && address < WINDOW + demand.bytes, `vector ${i} lies at ${address.toString(16)}`);
        const doorbell = demand.doorbells.find((d) => domain.iovaToPhys(address) === d.address);
        check(doorbell !== undefined, `vector ${i} leads to no doorbell`);
        equal(address % demand.granule, doorbell.address % demand.granule, 'offset in the page');
      }
      fn.block.free();
      equal(window.free, demand.pages, 'free pages afterwards');
      for (let page = 0; page < demand.pages; page++)
        check(ask(lab, lab.a, WINDOW + page * demand.granule, 2).startsWith('fault'), 'a page is still mapped');
    },
  },
  {
    name: 'a window that is too small: MSI_WINDOW_EXHAUSTED with the arithmetic; a larger one works',
    unless: (s) => s.doorbellPages < 2,
    run: (lab) => {
      const domain = lab.domain(lab.a);
      const { granule, pages } = lab.iommu.msiDemand([lab.a], domain);
      domain.reserveMsiWindow({ base: WINDOW, size: granule });
      const before = fingerprint(lab);
      const error = throwsCode('MSI_WINDOW_EXHAUSTED', 'enabling', () => enable(lab, lab.a, 1));
      equal(error.details['needed'], pages, 'needed');
      equal(error.details['free'], 1, 'free');
      equal((error.details['doorbells'] as DoorbellPage[]).length, pages, 'doorbells');
      equal(error.details['smallest'], pages * granule, 'smallest');
      equal(fingerprint(lab), before, 'state after the refusal');
      domain.reserveMsiWindow({ base: WINDOW, size: error.details['smallest'] as number });
      enable(lab, lab.a, 1).fire(0);
      equal(taken(lab).length, 1, 'arrived');
    },
  },
  {
    name: 'a window over a mapping and a mapping over a window: both refused, both ranges named',
    run: (lab) => {
      const domain = lab.domain(lab.a);
      const { bytes } = lab.iommu.msiDemand([lab.a], domain);
      // A doorbell page may be smaller than what the domain maps (a sub-window).
      const { granule } = lab;
      const size = Math.max(bytes, 2 * granule);
      domain.map(WINDOW + granule, lab.data, granule, READ_WRITE);
      let before = fingerprint(lab);
      let error = throwsCode('MSI_WINDOW_CONFLICT', 'window over mapping', () =>
        domain.reserveMsiWindow({ base: WINDOW, size }),
      );
      check(error.message.includes('0x8000000') && 'wanted' in error.details && 'present' in error.details, 'ranges');
      equal(fingerprint(lab), before, 'state after the refusal');
      domain.unmap(WINDOW + granule, granule);
      domain.reserveMsiWindow({ base: WINDOW, size });
      before = fingerprint(lab);
      for (const at of [WINDOW, WINDOW + size - granule]) {
        error = throwsCode('MSI_WINDOW_CONFLICT', 'mapping over window', () =>
          domain.map(at, lab.data, granule, READ_WRITE),
        );
        check(error.message.includes('0x8000000'), 'the window is named');
      }
      equal(fingerprint(lab), before, 'state after the refusals');
      domain.map(WINDOW + size, lab.data, granule, READ_WRITE);
    },
  },
  {
    name: 'doorbell pages are counted: the last user takes the mapping away, not the first',
    run: (lab) => {
      const domain = ready(lab);
      lab.iommu.attach(lab.b, domain);
      const one = enable(lab, lab.a, 1);
      const two = enable(lab, lab.b, 1);
      equal(domain.msiWindow!.mapped[0]!.refs, 2, 'users');
      one.block.free();
      two.fire(0);
      equal(taken(lab).length, 1, 'arrived after the other was freed');
      two.block.free();
      equal(domain.msiWindow!.mapped.length, 0, 'pages left');
      domain.releaseMsiWindow();
    },
  },
  {
    name: 'a function that cannot reach the window: MSI_WINDOW_UNREACHABLE',
    unless: (s) => !s.highWindow,
    run: (lab) => {
      const domain = lab.domain(lab.a);
      const { bytes } = lab.iommu.msiDemand([lab.a], domain);
      const { last } = domain.aperture;
      check(last > 2 ** 33, () => `supports.highWindow is true, but the aperture ends at ${at(last)}`);
      domain.reserveMsiWindow({ base: 2 ** 33, size: bytes });
      const before = fingerprint(lab);
      const error = throwsCode('MSI_WINDOW_UNREACHABLE', 'a 32-bit MSI capability', () =>
        lab.interrupts.domainFor(lab.a).allocate({ count: 1, addressBits: 32 }),
      );
      equal(error.details['bits'], 32, 'bits');
      equal(fingerprint(lab), before, 'state after the refusal');
      enable(lab, lab.a, 1).fire(0);
      equal(taken(lab).length, 1, 'arrived with 64 bits');
      const narrow = { ...lab.b, dmaBits: 30 };
      lab.iommu.attach(narrow, domain);
      throwsCode('MSI_WINDOW_UNREACHABLE', '30 DMA bits', () => enable(lab, narrow, 1));
    },
  },
  {
    name: 'placeMsiWindow finds a place beside mappings and reserved regions',
    run: (lab) => {
      const domain = lab.domain(lab.a);
      domain.map(WINDOW, lab.data, lab.granule, READ_WRITE);
      const window = lab.iommu.placeMsiWindow(domain, [lab.a]);
      check(window.range.first > WINDOW || window.range.last < WINDOW, 'the window lies on the mapping');
      check(
        domain.reservedRegions().some((r) => r.kind === 'software-msi' && r.first === window.range.first),
        'reservedRegions() does not show it',
      );
      enable(lab, lab.a, 1).fire(0);
      equal(taken(lab).length, 1, 'arrived');
    },
  },
  {
    name: 'a dma domain needs no word about MSIs',
    run: (lab) => {
      const domain = lab.iommu.createDomain({ type: 'dma', devices: [lab.a] });
      lab.iommu.attach(lab.a, domain);
      const iova = domain.dmaMap(lab.data, 2 * lab.granule, READ_WRITE);
      enable(lab, lab.a, 1).fire(0);
      equal(taken(lab).length, 1, 'arrived');
      equal(domain.iovaToPhys(iova), lab.data, 'its mapping');
      domain.dmaUnmap(iova, 2 * lab.granule);
    },
  },
];
