import {
  capturedBlock,
  RegisterFile,
  type CaptureRestored,
  type HardwareHost,
  type Model,
  type Restorable,
} from '@doorbell/platform';
import { V2M_MSI_IIDR, V2M_MSI_SETSPI, V2M_MSI_TYPER, V2M_SIZE } from '../spec/index.js';

export interface V2mOptions {
  /** First SPI, as INTID. Default 80. */
  readonly baseSpi?: number;
  /** Default 64. */
  readonly spis?: number;
}

/** The GIC's input lines. */
export interface SpiLines {
  pulse(intid: number, delivery?: { readonly controller: string }): boolean;
}

/** A GICv2m frame: a write of an SPI's INTID makes it pending. Nothing tells who wrote. */
export class V2mFrame implements Model, Restorable {
  readonly regions: readonly RegisterFile[];

  /** A frame has no state: its SPIs are the distributor's. */
  restoreCapture(registers: unknown): CaptureRestored {
    return { problems: [...(capturedBlock(registers, this.regions[0]!.base)?.problems ?? [])] };
  }

  constructor(name: string, base: number, host: HardwareHost, lines: SpiLines, options: V2mOptions = {}) {
    const first = options.baseSpi ?? 80;
    const count = options.spis ?? 64;
    const r = new RegisterFile({
      name,
      base,
      size: V2M_SIZE,
      sizes: [2, 4],
      diagnostics: host.diagnostics,
      registers: [V2M_MSI_TYPER, V2M_MSI_SETSPI, V2M_MSI_IIDR],
    });
    this.regions = [r];
    r.set(V2M_MSI_TYPER.$.at, (first << V2M_MSI_TYPER.BASE.lsb) | count);
    const doorbell = `0x${(base + V2M_MSI_SETSPI.$.at).toString(16)}`;
    r.onWrite(V2M_MSI_SETSPI.$.at, (_, written) => {
      const intid = written & 0x3ff;
      const inside = intid >= first && intid < first + count;
      const delivered =
        inside && lines.pulse(intid, { controller: 'gicv2m', doorbell, intid } as { controller: string });
      if (host.trace.on)
        host.trace.step({
          by: name,
          what: 'MSI_SETSPI_NS',
          at: base + V2M_MSI_SETSPI.$.at,
          words: [written],
          decoded: '',
          why: !inside
            ? 'no SPI of this frame: dropped'
            : delivered
              ? `SPI ${intid} pending`
              : `SPI ${intid} pending, disabled`,
        });
      const { refused } = host.hooks;
      if (!delivered && refused.isUsed())
        refused.call({ by: name, code: null, name: inside ? 'SPI_DISABLED' : 'SPI_OUT_OF_RANGE', recorded: false });
    });
  }
}
