import {
  API_VERSION,
  DoorbellError,
  hex,
  registerPort,
  token,
  type BlockDefinition,
  type PlatformNode,
  type Plugin,
} from '@doorbell/platform';
import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { MPIC, MpicDriver } from './driver/mpic.js';
import { MsiBank, type BankOptions } from './driver/msi.js';
import { Mpic } from './model/mpic.js';
import { checkMpic, mpicConfig, type MpicOptions } from './model/options.js';
import { MpicProbe } from './probe.js';
import {
  BANK_BASE,
  BANK_STRIDE,
  MPIC_LINES,
  MSIIR1_VERSION,
  MPIC_SIZE,
  banksOf,
  msiInterrupt,
  type MpicLines,
} from './spec/index.js';

const LINES = token<MpicLines>(MPIC_LINES);

export const MPIC_COMPATIBLE = ['fsl,mpic'];
export const BANK_COMPATIBLE = ['fsl,mpic-msi', 'fsl,mpic-msi-v4.3'];

/** MPIC + 0x4_0000 of CCSR: QEMU's ppce500 (`E500.ccsr` 0xfe000000). */
const DEFAULT_BASE = 0xfe04_0000;

export interface MpicPluginOptions extends MpicOptions {
  /** Default `mpic0`. */
  readonly name?: string;
  /** Default 0xfe040000. */
  readonly base?: number;
  /** MSI banks that software uses: how many, or each with its ranges. They are called `msi0`, `msi1`, … Default: all that the version has. */
  readonly banks?: number | readonly BankOptions[];
}

const CONTROLLER: BlockDefinition = {
  compatible: MPIC_COMPATIBLE,
  check: checkMpic,
  model: {
    provides: [CPU_INTERFACE, LINES],
    create(ctx) {
      const { base } = ctx.node.reg![0]!;
      const mpic = new Mpic(ctx.node.name, base, mpicConfig(ctx.node.options), ctx.host);
      ctx.provide(LINES, mpic);
      const probe = new MpicProbe(registerPort(ctx.host.bus, base, 'big'));
      ctx.provide(CPU_INTERFACE, {
        pending: (cpu) =>
          mpic
            .pendingOf(cpu)
            .map(({ source, bit }) => (bit < 0 ? mpic.vectorOf(source) : msiInterrupt(source, bit)))
            .sort((a, b) => a - b),
        acknowledge: (cpu) => probe.acknowledge(cpu),
        end: (cpu, number) => probe.end(cpu, number),
      });
      return mpic;
    },
  },
  driver: {
    provides: [MPIC],
    create(ctx) {
      const { base } = ctx.node.reg![0]!;
      const { host } = ctx;
      const driver = new MpicDriver(ctx.node.name, base, registerPort(host.cpu, base, 'big'), (what, condition) =>
        host.waitUntil(what, condition),
      );
      ctx.provide(MPIC, driver);
      return driver;
    },
  },
};

const BANK: BlockDefinition = {
  compatible: BANK_COMPATIBLE,
  check: checkBank,
  driver: {
    needs: [MPIC],
    create(ctx) {
      const mpic = ctx.resolve(MPIC);
      const core = ctx.service(INTERRUPTS);
      const options = bankOptions(ctx.node, mpic.base);
      const count = banksOf(mpic.version);
      if (!(Number.isInteger(options.bank) && options.bank >= 0 && options.bank < count))
        throw new DoorbellError(
          'BAD_OPTION',
          `${ctx.node.name} is none of the ${count} banks of ${mpic.name}`,
          `banks lie at ${hex(mpic.base + BANK_BASE)} and every ${hex(BANK_STRIDE)} bytes after it`,
          { node: ctx.node.name, option: 'bank', value: options.bank },
        );
      core.addRoot(ctx.node.name, new MsiBank(ctx.node.name, mpic, core, options));
      return {};
    },
  },
};

/**
 * Options of a bank's node: `bank`, or the bank's own address as `at`, or what its `reg` says; `ranges` or a tree's
 * `msi-available-ranges`; `doorbell`.
 */
function bankOptions(node: PlatformNode, base: number): BankOptions {
  const o = node.options ?? {};
  const at = (o['at'] as number | undefined) ?? node.reg?.[0]?.base;
  const bank = (o['bank'] as number | undefined) ?? (at === undefined ? 0 : (at - base - BANK_BASE) / BANK_STRIDE);
  const doorbell = o['doorbell'];
  return {
    bank,
    ...(o['ranges'] !== undefined && { ranges: o['ranges'] as readonly (readonly [number, number])[] }),
    ...(doorbell !== undefined && doorbell !== null && { doorbell: Number(doorbell) }),
  };
}

/** Errors: `BAD_OPTION`. */
function checkBank(node: PlatformNode): DoorbellError[] {
  const ranges = (node.options?.['ranges'] ?? []) as readonly (readonly [number, number])[];
  return ranges
    .filter(([first, count]) => first % 32 !== 0 || count % 32 !== 0 || count <= 0 || first + count > 512)
    .map(
      ([first, count]) =>
        new DoorbellError(
          'BAD_OPTION',
          `${node.name}: the range of ${count} from ${first} is not whole MSIRs`,
          'give multiples of 32',
          { node: node.name, option: 'ranges', first, count },
        ),
    );
}

/** The nodes of an MPIC and its banks. */
export function mpicNodes(options: MpicPluginOptions = {}): PlatformNode[] {
  const { name = 'mpic0', base = DEFAULT_BASE, banks, ...rest } = options;
  const { version } = mpicConfig({ ...rest });
  const bankKind = version >= MSIIR1_VERSION ? 'fsl,mpic-msi-v4.3' : 'fsl,mpic-msi';
  const list: readonly BankOptions[] =
    typeof banks === 'object' ? banks : Array.from({ length: banks ?? banksOf(version) }, (_, bank) => ({ bank }));
  return [
    { name, compatible: 'fsl,mpic', reg: [{ base, size: MPIC_SIZE }], endian: 'big', options: rest },
    ...list.map((bank, i) => ({ name: `msi${i}`, compatible: bankKind, options: { ...bank } })),
  ];
}

/** Takes nodes `fsl,mpic` and `fsl,mpic-msi`; brings those of one controller unless given `null`. */
export function mpic(options: MpicPluginOptions | null = {}): Plugin {
  return {
    name: 'powerpc-mpic',
    apiVersion: API_VERSION,
    apply(platform) {
      for (const block of [CONTROLLER, BANK])
        platform.hooks.block.tap('powerpc-mpic', (node) =>
          block.compatible.includes(node.compatible) ? block : undefined,
        );
      for (const node of options === null ? [] : mpicNodes(options)) platform.addNode(node);
    },
  };
}
