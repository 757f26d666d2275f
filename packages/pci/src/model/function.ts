import { get, set } from '@doorbell/bits';
import {
  hex64,
  join64,
  showBdf,
  UNTRANSLATED,
  Verdict,
  type Clock,
  type Diagnostics,
  type Trace,
  type Word64,
} from '@doorbell/platform';
import { ATS, BAR, BAR_64, barCount, COMMAND, ExtCapId, PASID, PCIE_DEVICE_CONTROL, PortType } from '../spec/index.js';
import { buildConfig, type BuiltConfig } from './build-config.js';
import type { ConfigSpace } from './config-space.js';
import type { BarHandler, DmaPort, FunctionBehaviour, FunctionDefinition, FunctionPort, Placed } from './definition.js';
import type { MsixState } from './msix.js';
import type { Bus, Route, Topology } from './topology.js';

export interface FunctionHost {
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly trace: Trace;
  readonly topology: Topology;
  /** A change of an interrupt pin. */
  wire(fn: PciFunction, asserted: boolean): void;
}

export interface FunctionState {
  readonly config: Uint32Array;
  readonly msix?: MsixState | undefined;
  readonly asserted: boolean;
  readonly behaviour?: unknown;
}

/** One function of a modelled PCI bus: configuration space, BARs, messages, and the device behind it. */
export class PciFunction implements FunctionPort, DmaPort {
  readonly devfn: number;
  readonly definition: FunctionDefinition;
  readonly config: ConfigSpace;
  readonly pcieType: number;
  /** Its way upstream as last worked out by the topology. */
  route: Route | undefined;
  /** The id that it puts on requests instead of its own; -1: none. */
  spoofed = -1;
  landed = false;
  protected readonly built: BuiltConfig;
  private readonly behaviour: FunctionBehaviour;
  private readonly handlers: (BarHandler | undefined)[] = [];
  private asserted = false;

  constructor(
    readonly bus: Bus,
    placed: Placed,
    protected readonly host: FunctionHost,
  ) {
    this.devfn = (placed.slot << 3) | placed.fn;
    const d = (this.definition = placed.definition);
    const onRoot = bus.bridge === undefined;
    this.pcieType =
      d.pcie === false
        ? -1
        : typeof d.pcie === 'number'
          ? d.pcie
          : onRoot
            ? PortType.integratedEndpoint
            : PortType.endpoint;
    this.built = buildConfig(this, host.diagnostics, (vector, hi, lo, data) => this.message(vector, hi, lo, data));
    this.config = this.built.config;
    this.behaviour = d.create?.(this) ?? {};
    for (const [n, handler] of Object.entries(this.behaviour.bars ?? {})) this.handlers[Number(n)] = handler;
    this.watchHeader();
  }

  get name(): string {
    return `${showBdf(this.requester, this.host.topology.segment)} ${this.definition.name}`;
  }
  get requester(): number {
    return (this.bus.number << 8) | this.devfn;
  }
  get clock(): Clock {
    return this.host.clock;
  }
  get diagnostics(): Diagnostics {
    return this.host.diagnostics;
  }
  get trace(): Trace {
    return this.host.trace;
  }
  get dma(): DmaPort {
    return this;
  }
  get command(): number {
    return this.config.get(COMMAND.$.at);
  }
  get msiEnabled(): boolean {
    return this.built.msi?.enabled ?? false;
  }
  get msixEnabled(): boolean {
    return this.built.msix?.enabled ?? false;
  }

  fire(vector: number): boolean {
    const { msi, msix } = this.built;
    if (msix?.enabled) {
      // Both at once is undefined (PCI 3.0 §6.8.2): MSI-X wins here.
      if (msi?.enabled) this.diagnostics.illegal(this.name, 'MSI and MSI-X both enabled');
      msix.fire(vector);
      return true;
    }
    if (msi?.enabled) {
      msi.fire(vector);
      return true;
    }
    return false;
  }

  withdraw(vector: number): void {
    this.built.msix?.withdraw(vector);
    this.built.msi?.withdraw(vector);
  }

  intx(asserted: boolean): void {
    this.asserted = asserted;
    this.updatePin();
  }

  spoof(requester: number): void {
    this.spoofed = requester;
    this.route = undefined;
  }

  write32(hi: number, lo: number, value: number, pasid = -1, kind = UNTRANSLATED): Verdict {
    if (!this.mayRequest(pasid, kind)) return Verdict.fault;
    return this.host.topology.write32(this, hi, lo, value, pasid, kind);
  }

  read(hi: number, lo: number, into: Uint8Array, pasid = -1, kind = UNTRANSLATED): Verdict {
    if (this.mayRequest(pasid, kind)) return this.host.topology.transfer(this, hi, lo, into, false, pasid, kind);
    into.fill(0);
    return Verdict.fault;
  }

  write(hi: number, lo: number, from: Uint8Array, pasid = -1, kind = UNTRANSLATED): Verdict {
    if (!this.mayRequest(pasid, kind)) return Verdict.fault;
    return this.host.topology.transfer(this, hi, lo, from, true, pasid, kind);
  }

  /** A CPU's or peer's read of BAR `bar`. */
  barRead(bar: number, offset: number, size: number): number {
    const { msix } = this.built;
    if (msix !== undefined && bar === msix.definition.bar && msix.owns(offset)) return msix.read(offset, size);
    return this.handlers[bar]?.read(offset, size) ?? 0;
  }

  barRead64(bar: number, offset: number, into: Word64): void {
    const handler = this.handlers[bar];
    const { msix } = this.built;
    const table = msix !== undefined && bar === msix.definition.bar && msix.owns(offset);
    if (!table && handler?.read64) return handler.read64(offset, into);
    into.lo = this.barRead(bar, offset, 4) >>> 0;
    into.hi = this.barRead(bar, offset + 4, 4) >>> 0;
  }

  barWrite(bar: number, offset: number, size: number, value: number): void {
    const { msix } = this.built;
    if (msix !== undefined && bar === msix.definition.bar && msix.owns(offset)) msix.write(offset, size, value);
    else this.handlers[bar]?.write(offset, size, value);
  }

  barWrite64(bar: number, offset: number, hi: number, lo: number): void {
    const handler = this.handlers[bar];
    const { msix } = this.built;
    const table = msix !== undefined && bar === msix.definition.bar && msix.owns(offset);
    if (!table && handler?.write64) return handler.write64(offset, hi, lo);
    this.barWrite(bar, offset, 4, lo);
    this.barWrite(bar, offset + 4, 4, hi);
  }

  /** Where BAR `bar` lies now; -1 where there is none or no 52-bit address. */
  barAddress(bar: number): number {
    const at = BAR.$.at + 4 * bar;
    const lo = this.config.get(at);
    const hi = get(lo, BAR.Type) === BAR_64 ? this.config.get(at + 4) : 0;
    return hi >>> 20 ? -1 : join64(hi, (lo & ~0xf) >>> 0);
  }

  /** As after power-on, or a function-level reset. */
  reset(): void {
    this.config.reset();
    this.built.msix?.reset();
    this.behaviour.reset?.();
    this.spoof(-1);
    this.asserted = false;
    this.host.wire(this, false);
    this.host.topology.changed();
  }

  snapshot(): FunctionState {
    return {
      config: this.config.words.slice(),
      msix: this.built.msix?.snapshot(),
      asserted: this.asserted,
      behaviour: this.behaviour.snapshot?.(),
    };
  }

  restore(state: FunctionState): void {
    this.config.words.set(state.config);
    if (state.msix) this.built.msix?.restore(state.msix);
    this.asserted = state.asserted;
    this.behaviour.restore?.(state.behaviour);
    this.spoof(-1);
  }

  private watchHeader(): void {
    const { config, host } = this;
    config.onWrite(COMMAND.$.at, (now, before) => {
      if ((now ^ before) & 2) host.topology.memoryChanged();
      if ((now ^ before) & 4 && 'bridge' in this.definition) host.topology.routesChanged();
      this.updatePin();
    });
    // While it decodes nothing, where its BARs lie matters to nobody.
    const moved = () => {
      if (this.command & 2) host.topology.memoryChanged();
    };
    const bars = barCount('bridge' in this.definition ? 1 : 0);
    for (let n = 0; n < bars; n++) config.onWrite(BAR.$.at + 4 * n, moved);
    if (this.built.pcie) {
      const control = this.built.pcie + PCIE_DEVICE_CONTROL.$.at;
      config.onWrite(control, (now) => {
        if (!get(now, PCIE_DEVICE_CONTROL.InitiateFlr)) return;
        config.set(control, set(now, PCIE_DEVICE_CONTROL.InitiateFlr, 0)); // reads 0, PCIe Base §7.5.3.4
        if (!('bridge' in this.definition)) this.reset();
      });
    }
  }

  private updatePin(): void {
    const { config } = this;
    const at = COMMAND.$.at;
    config.set(at, set(config.get(at), COMMAND.InterruptStatus, Number(this.asserted)));
    const disabled = get(this.command, COMMAND.InterruptDisable) || this.msiEnabled || this.msixEnabled;
    this.host.wire(this, this.asserted && !disabled);
  }

  private message(vector: number, hi: number, lo: number, data: number): void {
    if (this.trace.on) {
      this.trace.step({
        by: this.name,
        what: `${this.msixEnabled ? 'MSI-X' : 'MSI'} message, vector ${vector}`,
        at: null,
        words: [lo, hi, data],
        decoded: `${hex64(hi, lo)} := 0x${data.toString(16)}`,
        why: 'a posted memory write',
      });
    }
    this.write32(hi, lo, data);
  }

  /** Command, PASID and ATS decide whether a request leaves the function. */
  private mayRequest(pasid: number, kind: number): boolean {
    this.landed = false;
    if ((this.command & 4) === 0) return this.held('Command: Bus Master Enable = 0');
    if (pasid >= 0 && !this.control(ExtCapId.pasid, PASID)) return this.held('PASID Control: Enable = 0');
    if (kind !== UNTRANSLATED && !this.control(ExtCapId.ats, ATS)) return this.held('ATS Control: Enable = 0');
    return true;
  }

  private control(id: number, layout: typeof PASID | typeof ATS): boolean {
    const at = this.built.extended.get(id);
    return at !== undefined && get(this.config.get(at + layout.$.at), layout.Enable) === 1;
  }

  private held(why: string): false {
    if (this.trace.on)
      this.trace.step({ by: this.name, what: 'request', at: null, words: [], decoded: 'not sent', why });
    return false;
  }
}
