import { EXIT } from '../exit.js';
import { print } from '../output.js';

/** What to copy, what for, and how. `$dir` is the machine directory. */
const STEPS: readonly (readonly [why: string, lines: readonly string[]])[] = [
  [
    'ACPI: DMAR (Intel VT-d), IVRS (AMD-Vi), IORT (Arm SMMU): IOMMUs and who is behind them; APIC: IOAPICs and ITSs;\n# MCFG: where configuration space is. A machine has some of them.',
    [
      'for t in DMAR IVRS IORT VIOT APIC MCFG; do',
      '  [ -e "/sys/firmware/acpi/tables/$t" ] && keep "$dir/$t.dat" cat "/sys/firmware/acpi/tables/$t"',
      'done',
    ],
  ],
  [
    'Machines without ACPI: the device tree as the boot loader left it (LIODNs, id maps).',
    ['[ -e /sys/firmware/fdt ] && keep "$dir/machine.dtb" cat /sys/firmware/fdt'],
  ],
  [
    'PCI functions with all of their configuration space: bridges, MSI and MSI-X, ACS. Root, or capabilities are cut off.',
    ['keep "$dir/pci.txt" lspci -D -nn -xxxx   # lspci is in the package pciutils'],
  ],
  [
    'Optional, for your own comparison: the groups that Linux made of it.',
    [
      'for d in /sys/kernel/iommu_groups/*/devices/*; do',
      '  g=${d#*groups/}; [ -e "$d" ] && echo "${g%%/*} ${d##*/}"',
      'done | sort -n > "$dir/linux-groups.txt"',
    ],
  ],
];

/** A file that could not be filled would be an unreadable input: it is said and left out. */
const HELPERS: readonly string[] = [
  '',
  '# Tables and configuration space are for root only.',
  'as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }',
  'keep() {',
  '  out=$1; shift',
  '  as_root "$@" > "$out" && [ -s "$out" ] || { echo "left out: $out ($* failed)" >&2; rm -f "$out"; }',
  '}',
];

/** `doorbell collect`: prints a shell script; runs nothing. */
export function collect(dir: string): number {
  print('#!/bin/sh');
  print('# Gathers what `doorbell machine` reads. It copies tables and reads configuration space; it changes nothing.');
  // A single-quoted word is safe whatever the name holds.
  print(`dir='${dir.replaceAll("'", `'\\''`)}'`);
  print('mkdir -p "$dir" || exit 1');
  for (const line of HELPERS) print(line);
  for (const [why, lines] of STEPS) {
    print(`\n# ${why}`);
    for (const line of lines) print(line);
  }
  print('\n# Then:');
  print('echo "doorbell machine $dir"');
  return EXIT.ok;
}
