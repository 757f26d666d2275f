// Watching: hooks tell what rarely happens (attach, delivery, refusal, fault); the trace tells every step of what one access does.
import { virt, virtMemory } from '@doorbell/boards';
import { IOMMU } from '@doorbell/iommu';
import { at, PCI, TEST_FIRE, testFunction } from '@doorbell/pci';
import { hex, hex64, Platform, READ } from '@doorbell/platform';

const platform = new Platform({ memory: virtMemory() }).use(
  virt({ functions: [at('04.0', testFunction({ msix: 1 }))] }),
);
// Taps may go in before or after compose(); the name is for error messages.
platform.hooks.deviceAdded.tap('example', (d) => console.log(`deviceAdded: ${d.name}`));
platform.hooks.attach.tap('example', (d, domain) => console.log(`attach: ${d.name} → ${domain ?? 'blocked'}`));
platform.hooks.delivered.tap('example', (d) => console.log(`delivered: ${JSON.stringify(d)}`));
platform.hooks.fault.tap('example', (f) =>
  console.log(
    `fault: ${f.unit} records ${f.name} for ${hex64(f.address.hi, f.address.lo)} of stream ${hex(f.requester)}`,
  ),
);
platform.compose();

const [pci, iommu] = [platform.service(PCI), platform.service(IOMMU)];
const fn = pci.get('00:04.0');
const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
iommu.attach(fn, domain);
iommu.placeMsiWindow(domain, [fn]);
pci.enableMsixRange(fn, 1, 1);

const { steps } = platform.trace.record(() => fn.bar(0).write32(TEST_FIRE.$.at, 0));
for (const s of steps) {
  const words = s.words.length === 0 ? '' : ` [${s.words.map(hex).join(' ')}]`;
  console.log(`  ${s.by}: ${s.what}${s.at === null ? '' : ` at ${hex(s.at)}`}${words}: ${s.decoded}; ${s.why}`);
}

// A DMA to where nothing is mapped: the model records what the hardware would, and the core says whose it is.
domain.map(0x10_0000, 0x4010_0000, 0x1000, READ);
platform.fabric().write32(fn.requester, 0, 0x10_0000, 1);
for (const f of iommu.faults())
  console.log(`iommu.faults(): ${f.device?.name ?? '?'} in ${f.domain?.name ?? '?'}, ${f.write ? 'write' : 'read'}`);
console.log(`tracing is ${platform.trace.on ? 'on' : 'off'} again`);
