import { q35, q35Memory } from '@doorbell/boards';
import { explainOn, questionOf, Requesters } from '@doorbell/inspect';
import { IOMMU } from '@doorbell/iommu';
import { at, PCI, testFunction } from '@doorbell/pci';
import { Platform, READ, WRITE } from '@doorbell/platform';
import { beforeEach, describe, expect, it } from 'vitest';

const IOVA = 0x4000_0000;
const read = questionOf({ dma: { requester: '00:04.0', iova: IOVA } });
const write = questionOf({ dma: { requester: '00:04.0', iova: IOVA, access: 'write' } });
const elsewhere = questionOf({ dma: { requester: '00:04.0', iova: IOVA + 0x100_0000 } });

describe('explainOn a live platform', () => {
  let platform: Platform;
  beforeEach(() => {
    platform = new Platform({ memory: q35Memory() })
      .use(q35({ functions: [at('04.0', testFunction({ name: 'nic', msix: 4 }))] }))
      .compose();
    const nic = platform.service(PCI).functions.find((f) => f.requester === 0x20)!;
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
    iommu.attach(nic, domain);
    domain.map(IOVA, 0x10_0000, 0x1000, READ | WRITE);
  });
  const dma = () => platform.fabric().read(0x20, 0, IOVA, new Uint8Array(4));

  it('walks the tables although caches would answer', () => {
    dma();
    const answer = explainOn(platform, read);
    expect(answer).toMatchObject({ verdict: 'translated', pa: '0x100000' });
    expect(answer.steps.filter((s) => s.what.startsWith('second-level PTE')).length).toBeGreaterThan(2);
    expect(answer).not.toHaveProperty('stale');
  });

  it('says what a stale IOTLB answers, and what memory has', () => {
    dma();
    const { steps } = explainOn(platform, read);
    const leaf = Number(steps.at(-1)!.at);
    // Software that forgets to invalidate.
    platform.memoryModel.write32(leaf, 0);
    const answer = explainOn(platform, read);
    expect(answer).toMatchObject({ verdict: 'translated', pa: '0x100000' });
    expect(answer.stale).toMatch(/^READ_WITHOUT_PERMISSION: .*level 1.*not present/);
  });

  it('leaves the platform as it was: no fault record, no cache, no byte', () => {
    dma();
    const before = JSON.stringify(platform.model('dmar0')!.snapshot!());
    const digest = platform.memoryModel.digest();
    for (const q of [read, write, elsewhere]) explainOn(platform, q);
    expect(explainOn(platform, elsewhere)).toMatchObject({ verdict: 'fault', recorded: true });
    expect(JSON.stringify(platform.model('dmar0')!.snapshot!())).toBe(before);
    expect(platform.memoryModel.digest()).toBe(digest);
  });

  it('resolves requesters as it is told', () => {
    const requesters = new Requesters({
      aliases: {},
      buses: { '0:5': '0000:00:04.0' },
      functions: null,
      ioapics: ['0000:ff:00.0'],
    });
    const behind = questionOf({ dma: { requester: '05:01.0', iova: IOVA } });
    expect(explainOn(platform, behind, { requesters })).toMatchObject({ verdict: 'translated', pa: '0x100000' });
    const ioapic = questionOf({ msi: { requester: 'ioapic', address: 0xfee0_0010, data: 0 } });
    expect(explainOn(platform, ioapic, { requesters }).verdict).toBe('blocked');
  });
});
