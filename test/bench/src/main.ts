import { cpus } from 'node:os';
import { armSuites } from './arm.js';
import { bitsSuites } from './bits.js';
import { iommuSuites } from './iommu.js';
import { pciSuites } from './pci.js';
import { platformSuites } from './platform.js';
import { vtdSuites } from './vtd.js';
import { drained, report, type Suite } from './harness.js';

/** `npm run bench -- [text]`: the suites whose name contains the text, or all. Numbers are printed, never judged. */
const all: Suite[] = [...bitsSuites, ...platformSuites, ...pciSuites, ...iommuSuites, ...vtdSuites, ...armSuites];

const wanted = process.argv[2] ?? '';
const chosen = all.filter((suite) => suite.name.includes(wanted));
if (chosen.length === 0) {
  console.error(`no suite has "${wanted}" in its name: ${all.map((s) => s.name).join('; ')}`);
  process.exitCode = 2;
}
console.log(
  `node ${process.version}, ${cpus()[0]?.model ?? 'unknown processor'}; median of 15 samples of 10 ms, after warm-up`,
);
const rows = chosen.flatMap(report);
const over = rows.filter((row) => row.within === false);
console.log(
  `\n${chosen.length} suites, ${rows.length} rows, ${over.length} over budget${over.map((r) => `: ${r.suite} / ${r.row}`).join('')}`,
);
if (Number.isNaN(drained())) console.log('(a sum was not a number)');
