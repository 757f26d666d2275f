import { DoorbellError, type PlatformNode } from '@doorbell/platform';

/** How a PAMU is built. */
export interface PamuOptions {
  /** Which PAMU it is: its bit of PAMUBYPENR. Default: by its address in its group of pages. */
  readonly index?: number;
  /** Sub-windows at most: 16 (P4080 rev 1) or 256. Default 256. */
  readonly subWindows?: number;
  /** Physical address bits of the SoC. Default 36; T4240 has 40. */
  readonly addressBits?: number;
  /** Largest LIODN (PC2). Default 0xfff. */
  readonly maxLiodn?: number;
  /**
   * Whether CoreNet snooping keeps its caches equal to memory (`fsl,portid-mapping` set up). Default true: then they cannot be observed. False:
   * entries are remembered until a table base is written.
   */
  readonly coherent?: boolean;
  /** Lines of the primary and the secondary PAACE cache. Default [32, 128]. */
  readonly cacheLines?: readonly [number, number];
  /** MPIC source of access violations. Default 24. */
  readonly source?: number;
}
export type PamuConfig = Required<PamuOptions>;

export function pamuConfig(node: PlatformNode): PamuConfig {
  const o = (node.options ?? {}) as PamuOptions;
  const base = node.reg?.[0]?.base ?? 0;
  return {
    index: o.index ?? (base >>> 12) & 0xf,
    subWindows: o.subWindows ?? 256,
    addressBits: o.addressBits ?? 36,
    maxLiodn: o.maxLiodn ?? 0xfff,
    coherent: o.coherent ?? true,
    cacheLines: o.cacheLines ?? [32, 128],
    source: o.source ?? 24,
  };
}

/** Errors: `BAD_OPTION`. */
export function checkPamu(node: PlatformNode): DoorbellError[] {
  const c = pamuConfig(node);
  const problems: DoorbellError[] = [];
  const must = (good: boolean, option: keyof PamuConfig, remedy: string) => {
    if (good) return;
    problems.push(
      new DoorbellError('BAD_OPTION', `${node.name}: ${option} cannot be ${String(c[option])}`, remedy, {
        node: node.name,
        option,
        value: c[option],
      }),
    );
  };
  const powerOfTwo = (n: number): boolean => Number.isInteger(Math.log2(n));
  must(powerOfTwo(c.subWindows) && c.subWindows >= 2 && c.subWindows <= 65536, 'subWindows', 'give 2, 4, 8 … 256');
  must(c.addressBits >= 32 && c.addressBits <= 52, 'addressBits', 'give 32 to 52');
  must(c.index >= 0 && c.index < 32, 'index', 'give 0 to 31');
  must(c.cacheLines.length === 2 && c.cacheLines.every(powerOfTwo), 'cacheLines', 'give two powers of two');
  if (node.reg?.[0] === undefined)
    problems.push(new DoorbellError('BAD_OPTION', `${node.name} has no registers`, 'give it reg', { node: node.name }));
  return problems;
}
