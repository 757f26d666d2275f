import { cpus } from 'node:os';
import { boot } from './boot.js';
import { drained, report, type Suite } from './harness.js';

/**
 * `npm run bench -- [text]`: the suites whose name contains the text, or all. Numbers are printed, never judged.
 *
 * Files are loaded one after the other, each before it is measured: the first rows see code that nobody else has warmed up, the last ones
 * a process with every back-end in it.
 */
const files: readonly (() => Promise<readonly Suite[]>)[] = [
  async () => (await import('./bits.js')).bitsSuites,
  async () => (await import('./platform.js')).platformSuites,
  async () => (await import('./pci.js')).pciSuites,
  async () => (await import('./iommu.js')).iommuSuites,
  async () => {
    const [vtd, arm] = [await import('./vtd.js'), await import('./arm.js')];
    return [...vtd.vtdSuites, ...arm.armSuites];
  },
  async () => (await import('./powerpc.js')).powerpcSuites,
];

const wanted = process.argv[2] ?? '';
console.log(
  `node ${process.version}, ${cpus()[0]?.model ?? 'unknown processor'}; median of 15 samples of 10 ms, after warm-up`,
);
const names: string[] = [];
const rows: ReturnType<typeof report> = [];
let measured = 0;
for (const load of files) {
  const suites = await load();
  names.push(...suites.map((s) => s.name));
  const chosen = suites.filter((s) => s.name.includes(wanted));
  measured += chosen.length;
  rows.push(...chosen.flatMap(report));
}
if ('boot'.includes(wanted)) boot();
else if (measured === 0) {
  console.error(`no suite has "${wanted}" in its name: ${names.join('; ')}`);
  process.exitCode = 2;
}
const over = rows.filter((row) => row.within === false);
console.log(
  `\n${measured} suites, ${rows.length} rows, ${over.length} over budget${over.map((r) => `: ${r.suite} / ${r.row}`).join('')}`,
);
if (Number.isNaN(drained())) console.log('(a sum was not a number)');
