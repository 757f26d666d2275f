import { describe, expect, it } from 'vitest';
import { decode, is, isOn, reg, type DtsNode } from './support/dts.js';
import { describeFiles, filesNamed, needs, shortName } from './support/shared.js';

/** Every real device tree against what `dtc` decodes from the same bytes. */
const ready = needs('device trees against dtc', 'dtc');

const base = (n: DtsNode): string | null => {
  const at = reg(n)?.base ?? null;
  return at === null ? null : '0x' + at.toString(16);
};
const SMMU_V2 = /^(arm,(smmu-v[12]|mmu-[45]0[01])|cavium,smmu-v2|qcom,(smmu-v2|smmu-500)|nvidia,smmu-500)$/;
const typeOf = (n: DtsNode): string | null =>
  is(n, 'arm,smmu-v3')
    ? 'smmuv3'
    : (n.strings.get('compatible') ?? []).some((c) => SMMU_V2.test(c))
      ? 'smmuv2'
      : is(n, 'arm,gic-v3-its')
        ? 'its'
        : is(n, 'arm,gic-v2m-frame')
          ? 'gicv2m'
          : null;

describe.skipIf(!ready)('device trees as dtc reads them', () => {
  const trees = filesNamed(/\.dtb$/);

  it.each(trees.map((path) => [shortName(path), path]))('%s: SMMUs, PAMUs, MSI controllers, id maps', (_, path) => {
    const nodes = decode(path);
    const on = nodes.filter(isOn);
    const byPhandle = new Map(nodes.map((n) => [n.cells.get('phandle')?.[0] ?? n.cells.get('linux,phandle')?.[0], n]));
    const d = describeFiles(path);

    const smmus = on.filter((n) => typeOf(n)?.startsWith('smmu'));
    expect(d.iommus.filter((u) => u.type !== 'pamu').map((u) => [u.name, u.type, u.base])).toEqual(
      smmus.map((n, i) => [`smmu${i}`, typeOf(n), base(n)]),
    );

    const pages = on
      .filter((n) => is(n, 'fsl,pamu'))
      .flatMap((n) => {
        const { base, size } = reg(n)!;
        return Array.from(
          { length: Number(size / 0x1000n) },
          (_, i) => '0x' + (base! + BigInt(0x1000 * i)).toString(16),
        );
      });
    const pamus = d.iommus.filter((u) => u.type === 'pamu');
    expect(pamus.map((u) => [u.name, u.base])).toEqual(pages.map((p, i) => [`pamu${i}`, p]));
    // Each device that names a PAMU page itself, or lies below one that does and has a LIODN register of its own.
    const parentOf = (n: DtsNode): number | undefined =>
      n.cells.get('fsl,iommu-parent')?.[0] ?? (n.parent ? parentOf(n.parent) : undefined);
    const hasLiodn = (n: DtsNode): boolean => n.cells.has('fsl,liodn-reg') || n.cells.has('fsl,liodn');
    for (const u of pamus) {
      const page = nodes.find((n) => n.path === u.node)!;
      const phandle = page.cells.get('phandle')?.[0];
      const devices = on.filter((n) => phandle !== undefined && parentOf(n) === phandle);
      const own = devices.filter((n) => hasLiodn(n) || (n.cells.has('fsl,iommu-parent') && !n.children.some(hasLiodn)));
      expect(u.liodns!.map((l) => l.device)).toEqual(own.map((n) => n.path));
      expect(u.liodns!.map((l) => l.liodn)).toEqual(own.map((n) => n.cells.get('fsl,liodn')?.[0] ?? null));
    }

    const msi = on.filter((n) => is(n, 'arm,gic-v3-its', 'arm,gic-v2m-frame', 'fsl,mpic-msi', 'fsl,mpic-msi-v4.3'));
    expect(d.msiControllers.map((c) => [c.type, c.base])).toEqual(
      msi.map((n) => [{ its: 'gicv3-its', gicv2m: 'gicv2m' }[typeOf(n) ?? ''] ?? 'mpic-msi', base(n)]),
    );
    for (const c of d.msiControllers) {
      const n = msi.find((m) => m.path === c.node)!;
      const ranges = n.cells.get('msi-available-ranges');
      const expected = is(n, 'fsl,mpic-msi-v4.3')
        ? 32 * (n.cells.get('interrupts')!.length / 4)
        : is(n, 'fsl,mpic-msi')
          ? (ranges?.filter((_, i) => i % 2 === 1).reduce((a, b) => a + b) ?? 256)
          : (n.cells.get('arm,msi-num-spis')?.[0] ?? null);
      expect(c.vectors).toBe(expected);
    }

    const maps = on.flatMap((n) =>
      ['iommu-map', 'msi-map'].flatMap((property) => {
        const cells = n.cells.get(property) ?? [];
        return Array.from({ length: cells.length / 4 }, (_, i) => {
          const [inputBase, phandle, outputBase, count] = cells.slice(4 * i, 4 * i + 4);
          const to = byPhandle.get(phandle)!;
          const name = isOn(to) && typeOf(to) !== null ? `${typeOf(to)}@${base(to)}` : to.path;
          return { from: n.path, inputBase, count, outputBase, to: name, property };
        });
      }),
    );
    expect(
      d.idMappings.map((m) => ({
        from: m.from,
        inputBase: m.inputBase,
        count: m.count,
        outputBase: m.outputBase,
        to: m.to,
        property: m.property,
      })),
    ).toEqual(maps);

    // One finding for each node that switches itself off.
    const off = nodes.filter((n) => ![undefined, 'okay', 'ok'].includes(n.strings.get('status')?.[0]));
    const said = d.findings.filter((f) => f.code === 'DT_NODE_DISABLED').map((f) => f.message.split(':')[0]);
    expect(said).toEqual(off.map((n) => n.path.split(':')[0]));
    const kinds = new Set(smmus.map((n) => (typeOf(n) === 'smmuv3' ? 'arm-smmuv3' : 'arm-smmuv2')));
    expect(new Set(d.kinds)).toEqual(new Set([...kinds, ...(pages.length > 0 ? ['powerpc-pamu'] : [])]));
    expect(d.interruptRemapping).toEqual({ supported: null, x2apicOptOut: null });
    console.info(`${shortName(path)}: ${smmus.length + pages.length} units, ${maps.length} id maps, ${off.length} off`);
  });
});
