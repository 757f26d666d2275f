import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeMachine } from '@doorbell/firmware';
import { filesNamed, input, needs, shortName } from './support/shared.js';

/** Isolation groups from the bytes of a dump against the groups that Linux made on the same machine. */
const ready = needs("isolation groups against Linux's", null);

function linuxGroups(text: string): string[][] {
  const groups = new Map<string, string[]>();
  let current = '';
  for (const line of text.split('\n')) {
    const head = /^(?:\/sys\/kernel\/iommu_groups\/(\d+)\/devices|group (\d+) )/.exec(line);
    if (head) current = head[1] ?? head[2]!;
    const device = /([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) (?:->|driver)/.exec(line);
    if (device) groups.set(current, [...(groups.get(current) ?? []), device[1]!]);
  }
  return [...groups.values()].map((g) => g.sort()).sort((a, b) => (a[0]! < b[0]! ? -1 : 1));
}

describe.skipIf(!ready)('isolation groups', () => {
  const all = filesNamed(/^groups\.txt$/);
  it.each(all.map((path) => [shortName(path), path]))('%s', (_, path) => {
    const linux = linuxGroups(readFileSync(path, 'latin1'));
    const known = new Set(linux.flat());
    const ours = describeMachine([input(join(dirname(path), 'pci.txt'))]).groups!;
    // Linux gives an IOMMU's own function no group.
    const compared = ours.map((g) => g.filter((bdf) => known.has(bdf))).filter((g) => g.length > 0);
    expect(compared).toEqual(linux);
    expect(ours.flat().length - known.size).toBeLessThanOrEqual(1);
  });
});
