import { after, immediate, seeded, type CompletionPolicy } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { at, edu, nvmeLike } from '../src/index.js';
import { board } from './board.js';

const policies: CompletionPolicy[] = [immediate(), after(3), ...Array.from({ length: 20 }, (_, i) => seeded(i + 1))];

describe.each(policies)('under $name', (completion) => {
  const setup = () => {
    const b = board([at('05.0', edu({ dmaBits: 64 })), at('06.0', nvmeLike({ queues: 2 }))], {
      platform: { completion },
    });
    return { ...b, edu: b.pci.get('00:05.0'), nvme: b.pci.get('00:06.0') };
  };

  it('edu computes, transfers and interrupts, and software sees it by polling', () => {
    const { platform, pci, edu: fn, doorbell } = setup();
    pci.allocateVectors(fn, { min: 1, max: 1 });
    const bar = fn.bar(0);
    bar.write32(0x20, 0x80);
    bar.write32(0x08, 12);
    platform.waitUntil('factorial', () => (bar.read32(0x20) & 1) === 0);
    expect([bar.read32(0x08), bar.read32(0x24)]).toEqual([479001600, 1]);
    platform.memory.write32(0x3000, 0x600d_600d);
    bar.write64(0x80, 0, 0x3000);
    bar.write64(0x88, 0, 0x4_0000);
    bar.write64(0x90, 0, 4);
    bar.write64(0x98, 0, 5);
    bar.write64(0x80, 0, 0x9999); // ignored while it runs; taken where it has ended
    platform.waitUntil('DMA', () => (bar.read32(0x98) & 1) === 0);
    bar.write64(0x80, 0, 0x4_0000);
    bar.write64(0x88, 0, 0x3100);
    bar.write64(0x98, 0, 3);
    platform.waitUntil('DMA', () => (bar.read32(0x98) & 1) === 0);
    expect(platform.memory.read32(0x3100)).toBe(0x600d_600d);
    expect(doorbell.writes.map((w) => w.value)).toEqual([0x40, 0x40]);
  });

  it('nvme-like completes each queue’s commands in order, data before completion before interrupt', () => {
    const { platform, pci, nvme, doorbell } = setup();
    const v = pci.enableMsixRange(nvme, 2, 2);
    const bar = nvme.bar(0);
    const ram = platform.memory;
    for (const q of [0, 1]) {
      bar.write32(0x1000 + 0x20 * q, 0x10000 + 0x1000 * q);
      bar.write32(0x1008 + 0x20 * q, 0x20000 + 0x1000 * q);
      bar.write32(0x1010 + 0x20 * q, (0xc000_0000 | (q << 16) | 7) >>> 0);
      for (let i = 0; i < 3; i++) {
        ram.write32(0x10000 + 0x1000 * q + 64 * i, 2 | (i << 16));
        ram.write32(0x10000 + 0x1000 * q + 64 * i + 24, 0x30000 + 0x1000 * (2 * i + q));
      }
    }
    for (let i = 1; i <= 3; i++) for (const q of [0, 1]) bar.write32(0x1014 + 0x20 * q, i);
    platform.waitUntil('completions', () =>
      [0, 1].every((q) => ram.read32(0x20000 + 0x1000 * q + 16 * 2 + 12) === 0x0001_0002),
    );
    platform.settle();
    for (const q of [0, 1]) expect(doorbell.writes.filter((w) => w.value === v.message(q).data).length).toBe(3);
  });
});
