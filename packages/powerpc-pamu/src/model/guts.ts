import { RegisterFile, type HardwareHost, type Model } from '@doorbell/platform';
import { GUTS_SIZE, PAMUBYPENR, bypassMask } from '../spec/index.js';

/** Who says whether a PAMU is bypassed. */
export interface Bypass {
  bypassed(pamu: number): boolean;
}

/** The global utilities, as far as PAMUs depend on them. */
export class Guts implements Model, Bypass {
  readonly regions: readonly RegisterFile[];
  private readonly file: RegisterFile;

  constructor(name: string, base: number, host: HardwareHost, secureBoot: boolean) {
    const { diagnostics } = host;
    const options = { name, base, size: GUTS_SIZE, endian: 'big', sizes: [4], diagnostics } as const;
    this.file = new RegisterFile({ ...options, registers: [PAMUBYPENR] });
    // A secure boot starts with every PAMU in the way (A3).
    if (secureBoot) this.file.set(PAMUBYPENR.$.at, 0);
    this.regions = [this.file];
  }

  bypassed(pamu: number): boolean {
    return (this.file.get(PAMUBYPENR.$.at) & bypassMask(pamu)) !== 0;
  }

  snapshot(): Uint32Array {
    return this.file.snapshot();
  }
  restore(words: unknown): void {
    this.file.restore(words as Uint32Array);
  }
}
