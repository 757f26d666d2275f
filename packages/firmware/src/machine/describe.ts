import { hex } from '../bytes.js';
import { isolationGroups } from '../lspci/groups.js';
import { describeDmar } from './dmar.js';
import { describeIort } from './iort.js';
import { describeIvrs } from './ivrs.js';
import { readMachine, type Machine } from './read.js';
import { describeTree } from './tree.js';
import type { InputFile, MachineDescription, Part } from './types.js';

/**
 * What a machine is, from the files that a user copied: IOMMUs, MSI controllers, reserved memory, id mappings,
 * functions, isolation groups, and what is wrong with any of it.
 * Errors: `FirmwareError` (`UNREADABLE_INPUT`) where a file is not what it should be.
 */
export const describeMachine = (files: readonly InputFile[]): MachineDescription => describe(readMachine(files));

/** The same for what was read already. Call once: findings are added to the machine's. */
export function describe(machine: Machine): MachineDescription {
  const { dmar, ivrs, iort, madt, mcfg, tree, pci, findings } = machine;
  const parts: Part[] = [];
  if (dmar) parts.push(describeDmar(dmar, machine));
  if (ivrs) parts.push(describeIvrs(ivrs, machine));
  if (iort) parts.push(describeIort(iort, machine));
  if (madt) parts.push(describeMadt(machine));
  if (tree) parts.push(describeTree(tree, machine));
  const all = <K extends keyof Part>(key: K): NonNullable<Part[K]>[number][] =>
    parts.flatMap((p) => (p[key] ?? []) as NonNullable<Part[K]>[number][]);

  const groups = pci === null ? null : isolationGroups(pci);
  const whole = { table: null, offset: null };
  if (pci === null) findings.add('NO_PCI_DUMP', 'there is no pci.txt', whole);
  else if (groups === null)
    findings.add('PCI_GROUPS_UNKNOWN', 'isolation groups depend on what the dump does not show', {
      table: machine.pciFile,
      offset: null,
    });
  if ((dmar || ivrs || iort) && !madt) findings.add('NO_MADT', 'there is no APIC table', whole);
  const virtio = findings.list.some((f) => f.code === 'VIOT_UNSUPPORTED');
  if (!dmar && !ivrs && !iort && !tree && !virtio)
    findings.add('NOT_DESCRIBED', 'there is no DMAR, IVRS, IORT or device tree', whole);

  return {
    kinds: [...new Set(all('kinds'))],
    sources: machine.sources,
    interruptRemapping: dmar
      ? { supported: dmar.interruptRemapping, x2apicOptOut: dmar.x2apicOptOut }
      : { supported: ivrs ? true : null, x2apicOptOut: null },
    iommus: all('iommus'),
    msiControllers: all('msiControllers'),
    reserved: all('reserved'),
    idMappings: all('idMappings'),
    devices:
      pci === null
        ? null
        : pci.functions.map(({ facts: f }) => ({
            bdf: f.source.bdf,
            id: f.id,
            class: f.class,
            msi: f.msi,
            msix: f.msix,
          })),
    groups,
    findings: findings.list,
    ioapics: (madt?.ioapics ?? []).map((a) => ({ id: a.id, address: hex(a.address), gsiBase: a.gsiBase })),
    ecam: (mcfg?.regions ?? []).map((r) => ({
      segment: r.segment,
      base: hex(r.base),
      firstBus: r.startBus,
      lastBus: r.endBus,
    })),
    pciHosts: all('pciHosts'),
    streams: all('streams'),
  };
}

function describeMadt({ madt }: Machine): Part {
  const its = madt!.its.map((x) => ({
    type: 'gicv3-its' as const,
    base: hex(x.base),
    vectors: null,
    doorbell: hex(x.base + 0x10040n),
    id: x.id,
  }));
  const frames = madt!.msiFrames.map((x) => ({
    type: 'gicv2m' as const,
    base: hex(x.base),
    vectors: x.spiCount,
    doorbell: hex(x.base + 0x40n),
    id: x.id,
  }));
  return { msiControllers: [...its, ...frames] };
}
