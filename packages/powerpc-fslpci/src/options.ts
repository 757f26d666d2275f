import { DoorbellError, type PlatformNode } from '@doorbell/platform';

/** What both halves of a controller read from its node. */
export interface FslPciOptions {
  /** PCI segment whose functions are behind it. Default 0. */
  readonly segment?: number;
  /** Physical address of CCSR. Default 0xfe000000. */
  readonly ccsr?: number;
  /** Bytes of CCSR. Default 16 MiB. */
  readonly ccsrSize?: number;
  /** Bytes, from physical 0 on, that the inbound memory window covers, a power of two. Default 2^36 behind a PAMU, else 2^31. */
  readonly inbound?: number;
  /** Version of the block: 0x0204 and newer have LIODNs per function. Default 0x0203. */
  readonly version?: number;
}

export function fslPciOptions(
  node: PlatformNode,
): Required<Omit<FslPciOptions, 'inbound'>> & { inbound: number | null } {
  const o = (node.options ?? {}) as FslPciOptions;
  return {
    segment: o.segment ?? 0,
    ccsr: o.ccsr ?? 0xfe00_0000,
    ccsrSize: o.ccsrSize ?? 2 ** 24,
    inbound: o.inbound ?? null,
    version: o.version ?? 0x0203,
  };
}

/** Errors: `BAD_OPTION`. */
export function checkFslPci(node: PlatformNode): DoorbellError[] {
  const { ccsr, ccsrSize, inbound } = fslPciOptions(node);
  const power = (n: number): boolean => Number.isInteger(Math.log2(n));
  const bad = (option: string, value: unknown, remedy: string) =>
    new DoorbellError('BAD_OPTION', `${node.name}: ${option} cannot be ${String(value)}`, remedy, {
      node: node.name,
      option,
      value,
    });
  const out: DoorbellError[] = [];
  if (!node.reg?.[0]) out.push(bad('reg', 'empty', 'say where its registers are'));
  if (!power(ccsrSize) || ccsr % ccsrSize) out.push(bad('ccsr', ccsr, 'align it to its size, a power of two'));
  if (inbound !== null && !power(inbound)) out.push(bad('inbound', inbound, 'give a power of two'));
  return out;
}
