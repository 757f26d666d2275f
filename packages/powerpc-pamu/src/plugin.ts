import {
  API_VERSION,
  DoorbellError,
  token,
  type BlockDefinition,
  type PlatformNode,
  type Plugin,
} from '@doorbell/platform';
import { IOMMU } from '@doorbell/iommu';
import { slotOf, type Geometry } from './driver/geometry.js';
import { PAMU_TABLES } from './driver/tables.js';
import { PamuUnit, type DriverOptions } from './driver/unit.js';
import { Guts, type Bypass } from './model/guts.js';
import { checkPamu, pamuConfig, type PamuOptions } from './model/options.js';
import { Pamu } from './model/pamu.js';
import { GUTS_SIZE, PAMU_SIZE, SMALLEST } from './spec/index.js';

export const PAMU_COMPATIBLE = ['fsl,pamu', 'fsl,pamu-v1.0'];
export const GUTS_COMPATIBLE = ['fsl,qoriq-device-config-1.0', 'fsl,qoriq-device-config-2.0'];

/** Which PAMUs are bypassed, on the hardware side. */
const BYPASS = token<Bypass>('hardware:pamu-bypass');
/** Interrupt inputs of the platform's MPIC, as its specification names them. */
const LINES = token<{ line(source: number, up: boolean): void }>('hardware:mpic-lines');

/** CCSR of P4080 and its like. */
const CCSR = 0xfe00_0000;
const FIRST_PAMU = 0x2_0000;

export interface PamuNode extends PamuOptions, DriverOptions {
  /** Default `pamu` and its number. */
  readonly name?: string;
  /** Default: CCSR 0xfe000000 + 0x2_0000 + 0x1000 for each one before. */
  readonly base?: number;
}

/** `pamus`: those of the platform so far. */
const block = (pamus: Pamu[]): BlockDefinition => ({
  compatible: PAMU_COMPATIBLE,
  check: (node) => [...checkPamu(node), ...checkGeometry(node)],
  model: {
    wants: [BYPASS, LINES],
    create: (ctx) => {
      const config = pamuConfig(ctx.node);
      const lines = ctx.optional(LINES);
      // All PAMUs of a SoC share one source (A8): it is up while any of them asserts it.
      const line = (): void =>
        lines?.line(
          config.source,
          pamus.some((p) => p.source === config.source && p.asserted),
        );
      const wires = { bypass: ctx.optional(BYPASS), interrupt: line };
      const pamu = new Pamu(ctx.node.name, ctx.node.reg![0]!.base, config, ctx.host, wires);
      pamus.push(pamu);
      return pamu;
    },
  },
  driver: {
    create: (ctx) => {
      const guts = ctx.host.nodes.find((n) => GUTS_COMPATIBLE.includes(n.compatible))?.reg?.[0]?.base;
      const unit = new PamuUnit({
        name: ctx.node.name,
        base: ctx.node.reg![0]!.base,
        tables: ctx.service(PAMU_TABLES),
        bypass: guts === undefined ? null : { guts, index: pamuConfig(ctx.node).index },
        options: ctx.node.options ?? {},
      });
      ctx.service(IOMMU).addUnit(unit);
      return {};
    },
  },
});

const GLOBAL_UTILITIES: BlockDefinition = {
  compatible: GUTS_COMPATIBLE,
  model: {
    provides: [BYPASS],
    create: (ctx) => {
      const guts = new Guts(ctx.node.name, ctx.node.reg![0]!.base, ctx.host, ctx.node.options?.['secureBoot'] === true);
      ctx.provide(BYPASS, guts);
      return guts;
    },
  },
};

/** Errors: `BAD_OPTION`. */
function checkGeometry(node: PlatformNode): DoorbellError[] {
  const g = node.options?.['geometry'] as Geometry | undefined;
  if (g === undefined) return [];
  const { subWindows } = pamuConfig(node);
  const power = (n: number): boolean => Number.isInteger(Math.log2(n));
  const good = power(g.size) && power(g.count) && g.count <= subWindows && g.base % g.size === 0;
  if (good && slotOf(g) >= SMALLEST) return [];
  return [
    new DoorbellError(
      'BAD_OPTION',
      `${node.name}: no window of ${g.size} bytes at ${g.base} in ${g.count} sub-windows`,
      `give powers of two, a base that is aligned to the size, at most ${subWindows} sub-windows of at least 4 KiB`,
      { node: node.name, option: 'geometry', geometry: g },
    ),
  ];
}

/** Takes nodes `fsl,pamu` and the global utilities beside them; brings one unit for each argument, and the utilities with the first. */
export function pamu(...units: readonly PamuNode[]): Plugin {
  return {
    name: 'powerpc-pamu',
    apiVersion: API_VERSION,
    apply(platform) {
      for (const definition of [block([]), GLOBAL_UTILITIES])
        platform.hooks.block.tap('powerpc-pamu', (node) =>
          definition.compatible.includes(node.compatible) ? definition : undefined,
        );
      for (const node of units.length > 0 ? pamuNodes(units) : []) platform.addNode(node);
    },
  };
}

/** The nodes of PAMUs and of the global utilities of their SoC. */
export function pamuNodes(units: readonly PamuNode[]): PlatformNode[] {
  const ccsr = (units[0]?.base ?? CCSR + FIRST_PAMU) - FIRST_PAMU;
  return [
    {
      name: 'guts0',
      compatible: GUTS_COMPATIBLE[0]!,
      reg: [{ base: ccsr + 0xe_0000, size: GUTS_SIZE }],
      endian: 'big',
    },
    ...units.map(({ name, base, ...options }, i): PlatformNode => {
      const at = base ?? ccsr + FIRST_PAMU + PAMU_SIZE * i;
      const reg = [{ base: at, size: PAMU_SIZE }];
      return { name: name ?? `pamu${i}`, compatible: 'fsl,pamu', reg, endian: 'big', options };
    }),
  ];
}
