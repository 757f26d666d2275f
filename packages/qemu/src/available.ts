import { spawnSync } from 'node:child_process';

/** The architectures that there is a recipe for. */
export type QemuArch = 'x86_64' | 'aarch64' | 'ppc';

/** The version whose behaviour, deviations included, was studied; others are not used. */
export const QEMU_VERSION = '7.2';

export const qemuProgram = (arch: QemuArch): string => `qemu-system-${arch}`;

/** Whether a QEMU of the studied version is there, and if not, why: for a loud skip. */
export interface QemuAvailability {
  readonly available: boolean;
  /** `7.2.22`, or null where the program is missing. */
  readonly version: string | null;
  /** One line for people. */
  readonly reason: string;
}

const known = new Map<QemuArch, QemuAvailability>();

/** Asks the program for its version (once per architecture). Never throws. */
export function qemuAvailable(arch: QemuArch): QemuAvailability {
  let answer = known.get(arch);
  if (!answer) known.set(arch, (answer = ask(arch)));
  return answer;
}

function ask(arch: QemuArch): QemuAvailability {
  const program = qemuProgram(arch);
  const run = spawnSync(program, ['--version'], { encoding: 'utf8' });
  if (run.error || run.status !== 0) return { available: false, version: null, reason: `${program} is not installed` };
  const version = /version (\d+\.\d+\.\d+)/.exec(run.stdout)?.[1] ?? null;
  if (!version?.startsWith(`${QEMU_VERSION}.`)) {
    return {
      available: false,
      version,
      reason: `${program} is ${version ?? 'of unknown version'}, not ${QEMU_VERSION}.x`,
    };
  }
  return { available: true, version, reason: `${program} ${version}` };
}
