import type { LayoutInfo } from '@doorbell/bits';
import {
  RegisterFile,
  UNTRANSLATED,
  Verdict,
  WRITE,
  hex,
  type CaptureRestored,
  type HardwareHost,
  type Model,
  type Outcome,
  type Request,
  type Restorable,
  type TranslationUnit,
} from '@doorbell/platform';
import type { InterruptMessages } from '@doorbell/x86-apic/spec';
import * as spec from '../spec/index.js';
import { DmaRemapper } from './dma.js';
import { FaultRecorder } from './faults.js';
import { GlobalCommand } from './commands.js';
import { InterruptRemapper } from './interrupts.js';
import { MessagePort } from './messages.js';
import { capWords, ecapWords, type VtdConfig } from './options.js';
import { mismatches, readDump } from './dump.js';
import { ProtectedMemory } from './protected-memory.js';
import { InvalidationQueue } from './queue.js';

/* Of this module, as in dma.ts: the engine folds them. */
const PLAIN = UNTRANSLATED;
const FAULT = Verdict.fault;

export interface UnitParts {
  readonly name: string;
  readonly base: number;
  readonly size?: number;
  readonly config: VtdConfig;
  readonly host: HardwareHost;
  /** Absent on a platform without APICs: messages go nowhere. */
  readonly apic?: InterruptMessages | undefined;
}

/** One VT-d remapping unit: registers, DMA remapping, interrupt remapping (legacy mode). */
export class VtdUnit implements Model, TranslationUnit, Restorable {
  readonly name: string;
  readonly registers: RegisterFile;
  readonly regions: readonly RegisterFile[];
  readonly dma: DmaRemapper;
  readonly interrupts: InterruptRemapper;
  readonly queue: InvalidationQueue;
  readonly faults: FaultRecorder;
  private readonly commands: GlobalCommand;
  private readonly protectedMemory: ProtectedMemory;
  private readonly config: VtdConfig;
  private readonly host: HardwareHost;
  private readonly capabilities: Uint32Array;

  constructor({ name, base, size, config, host, apic }: UnitParts) {
    this.name = name;
    this.config = config;
    this.host = host;
    this.capabilities = Uint32Array.of(...capWords(config), ...ecapWords(config));
    const r = (this.registers = new RegisterFile({
      name,
      base,
      size: size ?? 0x1000,
      diagnostics: host.diagnostics,
      registers: registersOf(config),
    }));
    this.regions = [r];
    const messages = new MessagePort(host, apic);
    this.faults = new FaultRecorder(name, r, host, config, messages, () => this.queue.resume());
    this.dma = new DmaRemapper(name, host, config, this.faults);
    this.interrupts = new InterruptRemapper(name, host, config, this.faults, apic);
    this.queue = new InvalidationQueue(name, r, host, config, this.dma, this.interrupts, this.faults, messages);
    this.protectedMemory = new ProtectedMemory(r, host, config);
    this.commands = new GlobalCommand(name, r, host, config, this.dma, this.interrupts, this.queue);
    this.reset();
  }

  /** §3.13, §5: a DWORD write without PASID to 0xFEEx_xxxx is an interrupt request, whatever the tables say. */
  translate(request: Request, out: Outcome): Verdict {
    if (request.lo >>> 20 === 0xfee && request.hi === 0 && request.pasid < 0 && request.kind === PLAIN)
      return this.interruptRange(request, out);
    const verdict = this.dma.translate(request, out);
    if (this.protectedMemory.active && verdict !== FAULT && this.protectedMemory.blocks(out.pa))
      return this.refuse(out, -1, 'PROTECTED_MEMORY');
    return verdict;
  }

  /** True: the message left the unit. */
  interrupt(request: Request, out: Outcome): boolean {
    return this.interrupts.request(request, out);
  }

  /** For tests: refuses the k-th queued command from now on. See `InvalidationQueue.refuseCommand`. */
  refuseCommand(k: number): number {
    return this.queue.refuseCommand(k);
  }

  reset(): void {
    const r = this.registers;
    r.reset();
    for (let i = 0; i < 4; i++) r.set(spec.CAP.$.at + 4 * i, this.capabilities[i]!);
    // Version 1.0, as QEMU.
    r.set(spec.VER.$.at, 0x10);
    this.dma.enabled = false;
    this.dma.root = this.dma.mode = 0;
    this.dma.update();
    this.dropCaches();
    this.interrupts.reset();
    this.queue.reset();
    this.faults.reset();
    this.protectedMemory.update();
  }

  /** Forgets whatever the context cache, IOTLB and interrupt entry cache hold. */
  dropCaches(): void {
    this.dma.contexts.clear();
    this.dma.iotlb.clear();
    this.interrupts.invalidateAll();
  }

  /**
   * Puts a register dump of a real unit here, without side effects: `words` by byte offset, absent ones 0. Latched pointers are taken from RTADDR
   * and IRTA where GSTS says that they were set; the caches start empty. CAP and ECAP become the dump's.
   * Returns the offsets that this unit has no register for.
   */
  restoreRegisters(words: ReadonlyMap<number, number>): number[] {
    const r = this.registers;
    this.reset();
    const unknown: number[] = [];
    for (const [offset, value] of words) {
      if (offset % 4 === 0 && offset < r.size) r.set(offset, value >>> 0);
      else unknown.push(offset);
    }
    this.commands.adopt();
    this.protectedMemory.update();
    return unknown;
  }

  /**
   * Takes over a capture's registers.json: words by offset, or values by name. Says what keeps the unit from answering as the real one
   * would; with problems it holds as much as could be read. Never throws.
   */
  restoreCapture(registers: unknown): CaptureRestored {
    const { words, problems } = readDump(registers, this.registers.base);
    for (const offset of this.restoreRegisters(words)) problems.push(`no register of this unit at ${hex(offset)}`);
    problems.push(...mismatches(this.name, this.config, words));
    return { problems };
  }

  snapshot(): unknown {
    return {
      words: this.registers.snapshot(),
      root: this.dma.root,
      mode: this.dma.mode,
      contexts: this.dma.contexts.snapshot(),
      iotlb: this.dma.iotlb.snapshot(),
      interrupts: this.interrupts.snapshot(),
      nextRecord: this.faults.snapshot(),
    };
  }

  restore(state: unknown): void {
    const s = state as Record<string, unknown>;
    this.reset();
    this.registers.restore(s['words'] as Uint32Array);
    this.interrupts.restore(s['interrupts']);
    this.dma.contexts.restore(s['contexts']);
    this.dma.iotlb.restore(s['iotlb']);
    this.faults.restore(s['nextRecord'] as number);
    this.commands.adoptStatus();
    this.dma.root = s['root'] as number;
    this.dma.mode = s['mode'] as number;
    this.dma.update();
    this.protectedMemory.update();
  }

  private interruptRange(request: Request, out: Outcome): Verdict {
    if (request.access === WRITE && request.size === 4 && (request.lo & 3) === 0) return Verdict.interrupt;
    const { invalidInterruptRequest: reason } = spec.FaultReason;
    if (this.host.trace.on)
      this.host.trace.step({
        by: this.name,
        what: 'interrupt request',
        at: null,
        words: [],
        decoded: '',
        why: 'only an aligned DWORD write goes to 0xFEEx_xxxx',
      });
    if (!this.config.recordInterruptRange) return this.refuse(out, -1, spec.FAULT_NAMES[reason]!);
    this.faults.report(reason, request.stream, 0, (request.lo & 0xffff_f000) >>> 0, request.access, 0, 0, out);
    return Verdict.fault;
  }

  /** A refusal that no record holds. */
  private refuse(out: Outcome, code: number, fault: string): Verdict {
    out.code = code;
    out.fault = fault;
    out.recorded = false;
    if (this.host.trace.on)
      this.host.trace.step({
        by: this.name,
        what: 'fault',
        at: null,
        words: [],
        decoded: fault,
        why: 'blocked, not recorded',
      });
    return Verdict.fault;
  }
}

function registersOf(c: VtdConfig): { readonly $: LayoutInfo }[] {
  return [
    ...spec.FIXED_REGISTERS,
    ...spec.upperAddressRegisters(c.extendedInterruptMode),
    spec.CAP,
    spec.ECAP,
    ...(c.protectedMemory ? spec.PROTECTED_MEMORY_REGISTERS : []),
    spec.iva(c.iotlbOffset),
    spec.iotlb(c.iotlbOffset),
    ...Array.from({ length: c.faultRecords }, (_, n) => spec.frcd(c.faultOffset, n)),
  ];
}
