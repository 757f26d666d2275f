import { EXIT } from '../exit.js';
import { print } from '../output.js';

/** What to copy, what for, and how. `$dir` is the machine directory. */
const STEPS: readonly (readonly [why: string, lines: readonly string[]])[] = [
  [
    'ACPI: DMAR (Intel VT-d), IVRS (AMD-Vi), IORT (Arm SMMU): IOMMUs and who is behind them; APIC: IOAPICs and ITSs;\n# MCFG: where configuration space is. A machine has some of them.',
    [
      'for t in DMAR IVRS IORT VIOT APIC MCFG; do',
      '  sudo cat "/sys/firmware/acpi/tables/$t" > "$dir/$t.dat" 2>/dev/null || rm -f "$dir/$t.dat"',
      'done',
    ],
  ],
  [
    'Machines without ACPI: the device tree as the boot loader left it (LIODNs, id maps).',
    ['[ -e /sys/firmware/fdt ] && sudo cat /sys/firmware/fdt > "$dir/machine.dtb"'],
  ],
  [
    'PCI functions with all of their configuration space: bridges, MSI and MSI-X, ACS. Root, or capabilities are cut off.',
    ['sudo lspci -D -nn -xxxx > "$dir/pci.txt"'],
  ],
  [
    'Optional, for your own comparison: the groups that Linux made of it.',
    [
      'for d in /sys/kernel/iommu_groups/*/devices/*; do g=${d#*groups/}; echo "${g%%/*} ${d##*/}"; done | sort -n > "$dir/linux-groups.txt"',
    ],
  ],
];

/** `doorbell collect`: prints a shell script; runs nothing. */
export function collect(dir: string): number {
  print('#!/bin/sh');
  print('# Gathers what `doorbell machine` reads. It copies tables and reads configuration space; it changes nothing.');
  // A single-quoted word is safe whatever the name holds.
  print(`dir='${dir.replaceAll("'", `'\\''`)}'`);
  print('mkdir -p "$dir"');
  for (const [why, lines] of STEPS) {
    print(`\n# ${why}`);
    for (const line of lines) print(line);
  }
  print('\n# Then:');
  print('echo "doorbell machine $dir"');
  return EXIT.ok;
}
