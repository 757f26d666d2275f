import {
  describeRead,
  platformNodes,
  readMachine,
  type InputFile,
  type Machine,
  type MachineNodes,
} from '@doorbell/firmware';
import type { Range } from '@doorbell/platform';
import { refuse } from '../errors.js';
import { Requesters } from '../requesters.js';
import { findFiles } from './files.js';
import { openImages, type Image } from './image.js';
import { withCoveredZeros } from './registers.js';

/** A captured machine: what was read, before a platform is made of it. */
export interface Capture {
  readonly name: string;
  readonly nodes: MachineNodes;
  /** All registers that were captured, in one value that `capturedBlock` takes. */
  readonly registers: unknown;
  readonly image: Image;
  readonly requesters: Requesters;
  /** What is missing or damaged, one sentence each. */
  readonly problems: string[];
  /** Filled when the image is loaded. */
  readonly missing: Range[];
}

/** Whether a directory holds a capture: registers or memory beside what firmware says. */
export function isCapture(directory: string): boolean {
  const { registers, images } = findFiles(directory);
  return registers.length > 0 || images.length > 0;
}

/** Reads a capture directory, whatever its files are called. Errors: `UNREADABLE_INPUT`. */
export async function openCapture(directory: string): Promise<Capture> {
  const files = findFiles(directory);
  const problems = [...files.problems];
  if (files.images.length === 0)
    throw refuse(
      'UNREADABLE_INPUT',
      `${directory}: there is no memory dump (an ELF core, or memory@BASE.raw; gzipped or not)${told(problems)}`,
      'add the dump of guest memory',
      { directory },
    );
  const { machine, nodes, requesters } = firmwareOf(files.firmware, problems);
  const registers = withCoveredZeros(files.registers.map((r) => r.value));
  if (files.registers.length === 0) problems.push('there is no registers.json that can be read');
  const ram = nodes.memory[0]?.base ?? (machine?.madt && !machine.iort ? 0 : null);
  const image = await openImages(files.images, ram, problems);
  return {
    name: directory,
    nodes,
    registers,
    image,
    requesters,
    problems,
    missing: [],
  };
}

/** A table that cannot be read is left out and named; the others still count. */
function firmwareOf(
  files: readonly InputFile[],
  problems: string[],
): { machine: Machine | null; nodes: MachineNodes; requesters: Requesters } {
  const none: MachineNodes = { nodes: [], memory: [], omitted: [] };
  for (let left = [...files]; left.length > 0; ) {
    try {
      const machine = readMachine(left);
      const description = describeRead(machine);
      const nodes = platformNodes(machine, description);
      const damaged = description.findings.filter((f) => /_(?:TRUNCATED|BAD_LENGTH)$/.test(f.code));
      problems.push(...damaged.map((f) => `${f.table}: ${f.message}`));
      problems.push(...nodes.omitted.map((o) => `${o.name}: ${o.why}`));
      if (machine.pci === null)
        problems.push('there is no pci.txt: functions behind conventional bridges are asked under their own ids');
      return { machine, nodes, requesters: Requesters.ofMachine(machine, description) };
    } catch (error) {
      const bad = left.find((f) => {
        try {
          readMachine([f]);
          return false;
        } catch {
          return true;
        }
      });
      problems.push(`${error instanceof Error ? error.message : String(error)}`);
      if (!bad) break;
      left = left.filter((f) => f !== bad);
    }
  }
  if (files.length === 0) problems.push('there are no ACPI tables, no device tree and no pci.txt');
  return { machine: null, nodes: none, requesters: new Requesters() };
}

const told = (problems: readonly string[]): string => (problems.length > 0 ? `; ${problems.join('; ')}` : '');
