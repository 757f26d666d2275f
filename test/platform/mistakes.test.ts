// The mistakes that people make first, and the sentences they get.
import { bit, bits, layout } from '@doorbell/bits';
import { definePlugin, Platform, Software, token } from '@doorbell/platform';
import { expect, it } from 'vitest';

const Table = token<object>('demo:table');
const unit = (crossing: boolean) =>
  definePlugin('demo', {
    compatible: ['demo,unit'],
    model: {
      ...(crossing ? { provides: [Table] } : {}),
      create: (c) => {
        if (crossing) c.provide(Table, {});
        let held = 0;
        const [reg] = c.node.reg!;
        return {
          regions: [
            {
              name: c.node.name,
              ...reg!,
              read: () => held,
              write: (_offset: number, _size: number, value: number) => void (held = value),
            },
          ],
        };
      },
    },
    driver: { create: (c) => (crossing ? c.resolve(Table) : { registers: c.resolve(Software.registers) }) },
  });
const node = (name: string, base: number) => ({ name, compatible: 'demo,unit', reg: [{ base, size: 0x1000 }] });

it('a layout with overlapping fields does not load', () => {
  expect(() => layout('STE', 'IHI 0070 §5.2', 0, 32, { V: bit(0), Config: bits(3, 0) })).toThrow(
    /STE.*(V.*Config|Config.*V)/,
  );
});

it('two overlapping nodes are both named, with their ranges', () => {
  const platform = new Platform().use(unit(false)).node(node('dmar0', 0xfed9_0000), node('ioapic0', 0xfed9_0800));
  expect(() => platform.compose()).toThrow(
    'REGION_OVERLAP: ioapic0 (0xfed90800–0xfed917ff) overlaps dmar0 (0xfed90000–0xfed90fff) (move one of them)',
  );
});

it('a driver that asks for its model’s token is turned back at the border', () => {
  const platform = new Platform().use(unit(true)).node(node('dmar0', 0xfed9_0000));
  expect(() => platform.compose()).toThrow(
    'ACROSS_THE_BORDER: the driver of dmar0 asks for demo:table, which belongs to the hardware side (model and driver share nothing but registers and memory)',
  );
});

it('two units of one kind stand side by side, each driver at its own registers', () => {
  const platform = new Platform()
    .use(unit(false))
    .node(node('dmar0', 0xfed9_0000), node('dmar1', 0xfed9_1000))
    .compose();
  type Held = { registers: { write32(offset: number, value: number): void } };
  (platform.driver('dmar0') as Held).registers.write32(0, 10);
  (platform.driver('dmar1') as Held).registers.write32(0, 11);
  expect([0xfed9_0000, 0xfed9_1000].map((at) => platform.cpu.read32(at))).toEqual([10, 11]);
});
