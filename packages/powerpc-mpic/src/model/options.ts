import { DoorbellError, type PlatformNode } from '@doorbell/platform';
import { sourceCount } from '../spec/index.js';

/** How an MPIC is built. */
export interface MpicOptions {
  /** Block revision (BRR1): 0x0200, 0x0402, 0x0403 … Default 0x0402. */
  readonly version?: number;
  /** Default 2; at most 32. */
  readonly cpus?: number;
  /** Interrupt sources that FRR reports. Default: every register block there is (QEMU's ppce500 reports 196). */
  readonly sources?: number;
}

export type MpicConfig = Required<MpicOptions>;

export function mpicConfig(options: Readonly<Record<string, unknown>> | undefined): MpicConfig {
  const o = (options ?? {}) as MpicOptions;
  const version = o.version ?? 0x0402;
  return { version, cpus: o.cpus ?? 2, sources: o.sources ?? sourceCount(version) };
}

/** Errors: `BAD_OPTION`. */
export function checkMpic(node: PlatformNode): DoorbellError[] {
  const { version, cpus } = mpicConfig(node.options);
  const bad = (option: string, value: unknown, remedy: string) =>
    new DoorbellError('BAD_OPTION', `${node.name}: ${option} cannot be ${String(value)}`, remedy, {
      node: node.name,
      option,
      value,
    });
  const problems: DoorbellError[] = [];
  if (!(Number.isInteger(cpus) && cpus >= 1 && cpus <= 32)) problems.push(bad('cpus', cpus, 'give 1 to 32'));
  if (!(Number.isInteger(version) && version >= 0x0200 && version <= 0xffff))
    problems.push(bad('version', version, 'give a block revision such as 0x0402'));
  if ((node.reg?.[0]?.base ?? -1) < 0) problems.push(bad('reg', 'empty', 'say where its registers are'));
  return problems;
}
