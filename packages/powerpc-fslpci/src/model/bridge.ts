import { get } from '@doorbell/bits';
import {
  READ,
  RegisterFile,
  Verdict,
  WRITE,
  hex,
  hi32,
  join64,
  lo32,
  newRequest,
  swap32,
  type HardwareHost,
  type Model,
  type Outcome,
  type Request,
  type TranslationUnit,
} from '@doorbell/platform';
import * as S from '../spec/index.js';

/**
 * Whether a request that comes in through PEXCSRBAR passes the PAMU as any other. The sheet has "inbound ATMU → PAMU → CoreNet → MSIIR" (B2),
 * and the hypervisor maps MSIIR's page in the PAMU for that reason: so it does. No manual text was available.
 */
const CSR_WINDOW_THROUGH_PAMU = true;

export interface BridgeConfig {
  readonly segment: number;
  readonly ccsr: number;
  readonly ccsrSize: number;
  readonly version: number;
}

/** Inbound side of a Freescale PCIe controller: PCI addresses become system addresses here, before any PAMU. */
export class FslPciBridge implements Model, TranslationUnit {
  readonly regions: readonly RegisterFile[];
  private readonly file: RegisterFile;
  private csrBar: number;
  private readonly inner: (TranslationUnit | undefined)[] = [];
  private readonly streams = new Uint32Array(65536);
  private readonly request = newRequest();
  private csr = false;

  constructor(
    readonly name: string,
    base: number,
    private readonly config: BridgeConfig,
    private readonly host: HardwareHost,
  ) {
    const windows = S.INBOUND_ORDER.flatMap((w) => [S.PITAR, S.PIWBAR, S.PIWBEAR, S.PIWAR].map((r) => S.inbound(r, w)));
    this.file = new RegisterFile({
      name,
      base,
      size: S.FSLPCI_SIZE,
      endian: 'big',
      sizes: [4],
      diagnostics: host.diagnostics,
      registers: [S.CONFIG_ADDR, S.CONFIG_DATA, S.LIODN_BASE, S.IP_REVISION, ...windows],
    });
    this.regions = [this.file];
    this.csrBar = 0;
    this.file.set(S.IP_REVISION.$.at, config.version);
    this.file.onRead(S.CONFIG_DATA.$.at, () => swap32(this.configuration()));
    this.file.onWrite(S.CONFIG_DATA.$.at, (_, word) => this.configure(swap32(word)));
    host.hooks.composed.tap(name, () => this.stepIn());
  }

  /** Behind its own `iommuMap` entry it is the last unit; in front of a PAMU it hands on. */
  translate(request: Request, out: Outcome): Verdict {
    const address = this.inbound(join64(request.hi, request.lo));
    if (address < 0) {
      // The root port answers as nobody: unsupported request. Nothing that software sees is recorded.
      out.code = -1;
      out.fault = 'INBOUND_MISS';
      out.recorded = false;
      return Verdict.fault;
    }
    const { requester } = request;
    const unit = this.inner[requester];
    if (unit === undefined || (this.csr && !CSR_WINDOW_THROUGH_PAMU)) {
      out.pa = address;
      out.pageSize = 0;
      out.permissions = READ | WRITE;
      return Verdict.bypass;
    }
    const q = this.request;
    q.requester = requester;
    q.stream = this.streams[requester]!;
    q.hi = hi32(address);
    q.lo = lo32(address);
    q.size = request.size;
    q.access = request.access;
    q.kind = request.kind;
    q.pasid = request.pasid;
    q.data = request.data;
    return unit.translate(q, out);
  }

  reset(): void {
    this.file.reset();
    this.file.set(S.IP_REVISION.$.at, this.config.version);
    this.csrBar = 0;
  }
  snapshot(): unknown {
    return { words: this.file.snapshot(), csrBar: this.csrBar };
  }
  restore(state: unknown): void {
    const { words, csrBar } = state as { words: Uint32Array; csrBar: number };
    this.file.restore(words);
    this.csrBar = csrBar;
  }

  /** Puts itself between the segment's functions and whoever translates for them. */
  private stepIn(): void {
    const fabric = this.host.fabric(this.config.segment);
    for (let id = 0; id < 65536; id++) {
      const unit = fabric.unitOf(id);
      if (unit === this) continue;
      this.inner[id] = unit;
      this.streams[id] = fabric.streamOf(id);
    }
    fabric.claim(this);
  }

  /** The system address of a PCI address, or -1. */
  private inbound(address: number): number {
    const { ccsr, ccsrSize } = this.config;
    const { trace } = this.host;
    this.csr = true;
    if (this.csrBar !== 0 && address >= this.csrBar && address < this.csrBar + ccsrSize) {
      if (trace.on) this.tell('PEXCSRBAR', address, this.csrBar, ccsr + address - this.csrBar);
      return ccsr + address - this.csrBar;
    }
    this.csr = false;
    for (let i = 0; i < S.INBOUND_ORDER.length; i++) {
      const window = S.INBOUND_ORDER[i]!;
      const attributes = this.file.get(window + S.PIWAR.$.at);
      if (!get(attributes, S.PIWAR.EN)) continue;
      const size = 2 ** (get(attributes, S.PIWAR.IWS) + 1);
      const low = this.file.get(window + S.PIWBAR.$.at);
      const extension = window === S.INBOUND[1] ? 0 : this.file.get(window + S.PIWBEAR.$.at);
      const base = extension * 2 ** 44 + get(low, S.PIWBAR.HIGH) * 2 ** 32 + get(low, S.PIWBAR.LOW) * 4096;
      if (address < base || address >= base + size) continue;
      this.csr = get(attributes, S.PIWAR.TRGT) === S.TARGET.ccsr;
      const target = get(this.file.get(window + S.PITAR.$.at), S.PITAR.TARGET) * 4096 + (address - base);
      if (trace.on) this.tell(`inbound window at ${hex(window)}`, address, base, target);
      return target;
    }
    if (trace.on) {
      const decoded = `PCI address ${hex(address)}`;
      trace.step({ by: this.name, what: 'inbound windows', at: null, words: [], decoded, why: 'none holds it' });
    }
    return -1;
  }

  private tell(what: string, from: number, base: number, to: number): void {
    const decoded = `PCI address ${hex(from)}, base ${hex(base)}`;
    this.host.trace.step({ by: this.name, what, at: null, words: [], decoded, why: `system address ${hex(to)}` });
  }

  // ---- configuration space of the root port: BAR0 ----

  private configuration(): number {
    return this.selected() === S.PEXCSRBAR ? this.csrBar : 0xffff_ffff;
  }
  /** A BAR: address bits below its size read 0. */
  private configure(value: number): void {
    if (this.selected() === S.PEXCSRBAR) this.csrBar = (value & ~(this.config.ccsrSize - 1)) >>> 0;
  }
  private selected(): number {
    const address = this.file.get(S.CONFIG_ADDR.$.at);
    const own = get(address, S.CONFIG_ADDR.BUS) === 0 && get(address, S.CONFIG_ADDR.DEVICE) === 0;
    const register = 4 * get(address, S.CONFIG_ADDR.REGISTER);
    if (get(address, S.CONFIG_ADDR.EN) && own && register === S.PEXCSRBAR) return register;
    this.host.diagnostics.unimplemented(this.name, 'configuration access other than to PEXCSRBAR (use the ECAM)');
    return -1;
  }
}
