// An IOMMU plugin: a model with one table of 4 KiB pages in memory, put into a platform, and a DMA through it.
import { Platform, READ, Verdict, WRITE, definePlugin, hex, join64 } from '@doorbell/platform';
import type { Outcome, Request } from '@doorbell/platform';

const TABLE = 0x10_0000;

/** One word per page of the first 4 MiB: bit 0 present, bits 31:12 the physical page. */
const demoIommu = definePlugin(
  'demo-iommu',
  {
    compatible: ['demo,iommu'],
    model: {
      create: ({ host, node }) => ({
        name: node.name,
        translate(request: Request, out: Outcome): Verdict {
          const at = TABLE + 4 * (request.lo >>> 12);
          const entry = request.hi === 0 && request.lo < 0x40_0000 ? host.memoryModel.read32(at) : 0;
          const why = entry & 1 ? 'present' : 'not present: the DMA is refused';
          if (host.trace.on)
            host.trace.step({ by: node.name, what: 'page entry', at, words: [entry], decoded: hex(entry), why });
          if (!(entry & 1)) {
            out.fault = 'NOT_PRESENT';
            return Verdict.fault;
          }
          out.pa = join64(0, (entry & 0xffff_f000) | (request.lo & 0xfff));
          out.permissions = READ | WRITE;
          return Verdict.translated;
        },
      }),
    },
  },
  [
    { name: 'iommu0', compatible: 'demo,iommu' },
    {
      name: 'pci0',
      compatible: 'demo,host',
      iommuMap: [{ inputBase: 0, count: 65536, outputBase: 0, to: 'iommu0' }],
    },
  ],
);
const demoHost = definePlugin('demo-host', { compatible: ['demo,host'] });

const platform = new Platform({ name: 'hello', memory: [{ base: 0, size: 2 ** 26 }] })
  .use(demoIommu, demoHost)
  .compose();
console.log(platform.describe().text);

platform.memory.write32(TABLE + 4 * 5, 0x20_0001); // IOVA page 5 → physical 0x200000
for (const iova of [0x5010, 0x6010]) {
  const { result, steps } = platform.trace.record(() => platform.fabric().write32(0x20, 0, iova, 0xcafe));
  console.log(`\n00:04.0 writes 0xcafe to IOVA ${hex(iova)}`);
  for (const s of steps)
    console.log(`  ${s.by}: ${s.what}${s.at === null ? '' : ` at ${hex(s.at)}`}: ${s.decoded}; ${s.why}`);
  console.log(
    result === Verdict.translated ? `  memory 0x200010 = ${hex(platform.memory.read32(0x20_0010))}` : '  fault',
  );
}
