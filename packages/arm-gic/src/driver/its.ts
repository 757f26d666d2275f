import { getAt } from '@doorbell/bits';
import {
  unitFor,
  type Doorbell,
  type InterruptCore,
  type Message,
  type MsiBlock,
  type MsiRequest,
  type Prepared,
  type PreparedMove,
  type RootLevel,
  type SenderCheck,
} from '@doorbell/irqchip';
import {
  effectiveId,
  HardwareError,
  registerPort,
  type Device,
  type Driver,
  type RegisterPort,
  type SoftwareHost,
} from '@doorbell/platform';
import {
  BASER_PAGE,
  BASER_TYPE,
  GITS_BASER,
  GITS_CTLR,
  GITS_TRANSLATER_AT,
  GITS_TYPER,
  ITS_OP,
} from '../spec/index.js';
import { read64, type GicSoftware } from './gic.js';
import { ItsDevice } from './its-device.js';
import { command, ItsQueue, mapd, type Command } from './its-queue.js';

/** What a vector is aimed at. */
export interface ItsTargetOf {
  readonly eventId: number;
  readonly intid: number;
  readonly cpu: number;
}

interface ItsShare extends Prepared<ItsTargetOf> {
  readonly owner: Device;
  readonly device: ItsDevice;
  targets: ItsTargetOf[];
  live: boolean;
  /** Events at the front that a `release` which was refused has discarded already. */
  discarded: number;
  /** Vectors whose LPI is disabled. */
  readonly masked: Set<number>;
  /** A page of the indirect device table that the block brings; null where it is there. */
  page: LevelTwoPage | null;
}

/** A reserved page of the device table: linked when the block is committed. */
interface LevelTwoPage {
  /** Its level-one entry. */
  readonly at: number;
  readonly base: number;
  readonly bytes: number;
}

export interface ItsParts {
  readonly name: string;
  readonly base: number;
  readonly host: SoftwareHost;
  readonly gic: GicSoftware;
  readonly interrupts: InterruptCore;
}

/**
 * One ITS as the root of interrupt chains: LPIs from the space that all ITSs share, an interrupt translation table per DeviceID,
 * one collection per CPU (ICID = CPU).
 */
export class ItsDriver implements Driver, RootLevel<ItsTargetOf> {
  readonly name: string;
  readonly cpus: readonly number[];
  private readonly parts: ItsParts;
  private readonly registers: RegisterPort;
  private readonly queue: ItsQueue;
  private readonly devices = new Map<number, ItsDevice>();
  private readonly shares = new Set<ItsShare>();
  private readonly entryBytes: number;
  private readonly eventBits: number;
  private readonly physicalTargets: boolean;
  /** Level-2 pages of an indirect device table: bytes of one, ids per page. Null: the table is flat. */
  private indirect: { readonly table: number; readonly pageBytes: number; readonly perPage: number } | null = null;
  private readonly doorbell: Doorbell;

  constructor(parts: ItsParts) {
    this.parts = parts;
    const { name, base, host, gic } = parts;
    this.name = name;
    this.cpus = gic.cpus;
    const r = (this.registers = registerPort(host.cpu, base));
    r.write32(GITS_CTLR.$.at, 0);
    host.waitUntil(`${name}: Quiescent`, () => r.read32(GITS_CTLR.$.at) >>> 31 === 1);
    const typer = read64(r, GITS_TYPER.$.at);
    this.entryBytes = getAt(typer, 0, GITS_TYPER.ITT_entry_size) + 1;
    this.eventBits = getAt(typer, 0, GITS_TYPER.ID_bits) + 1;
    this.physicalTargets = getAt(typer, 0, GITS_TYPER.PTA) === 1;
    for (const { $ } of GITS_BASER) this.table($.at, getAt(typer, 0, GITS_TYPER.Devbits) + 1);
    this.queue = new ItsQueue(host, r, name);
    r.write32(GITS_CTLR.$.at, GITS_CTLR.Enabled.mask);
    this.doorbell = { address: base + GITS_TRANSLATER_AT, name: `${name} GITS_TRANSLATER`, exposes: [] };
    this.queue.run(
      this.cpus.flatMap((cpu) => [
        command(ITS_OP.MAPC, { icid: cpu, target: this.target(cpu), valid: true }),
        this.sync(cpu),
        command(ITS_OP.INVALL, { icid: cpu }),
        this.sync(cpu),
      ]),
    );
  }

  doorbells(): readonly Doorbell[] {
    return [this.doorbell];
  }

  senderCheck(device: Device): SenderCheck {
    const witness = `${this.name} selects the interrupt translation table by the DeviceID beside the write: ${device.name} reaches its own events only`;
    return { scope: 'device', witness };
  }

  prepare(request: MsiRequest): ItsShare {
    const { gic } = this.parts;
    const align = request.contiguous ? 2 ** Math.ceil(Math.log2(request.count)) : 1;
    const id = this.deviceId(request.device);
    let device = this.devices.get(id);
    const fresh = device === undefined;
    const intids = gic.lpis.take(request.count);
    let firstEvent = -1;
    let page: LevelTwoPage | null = null;
    try {
      page = this.levelTwo(id);
      device ??= new ItsDevice(
        id,
        this.parts.host,
        align * Math.ceil(request.count / align),
        this.entryBytes,
        this.eventBits,
      );
      firstEvent = device.events.takeBlock(request.count, align);
    } catch (error) {
      gic.lpis.give(intids);
      if (fresh) device?.free();
      if (page) this.parts.host.pages.free(page.base, page.bytes);
      throw error;
    }
    this.devices.set(id, device);
    device.users++;
    const targets = intids.map((intid, i) => ({
      eventId: firstEvent + i,
      intid,
      cpu: request.cpus[i % request.cpus.length]!,
    }));
    const share: ItsShare = {
      owner: request.device,
      device,
      targets,
      live: false,
      discarded: 0,
      masked: new Set(),
      page,
      commit: () => {
        this.linkLevelTwo(share);
        this.commit(share);
      },
      release: () => {
        this.unmap(share);
        this.giveBack(share);
      },
      cancel: () => {
        if (share.page) this.parts.host.pages.free(share.page.base, share.page.bytes);
        this.giveBack(share);
      },
    };
    this.shares.add(share);
    return share;
  }

  compose(_message: Message, block: MsiBlock, index: number): Message {
    const { address } = this.doorbell;
    return {
      addressHi: Math.floor(address / 2 ** 32),
      addressLo: address >>> 0,
      data: block.share<ItsShare>(this).targets[index]!.eventId,
    };
  }

  prepareAffinity(block: MsiBlock, index: number, cpu: number): PreparedMove {
    const share = block.share<ItsShare>(this);
    const before = share.targets[index]!;
    const move = (to: number) => {
      const { id } = share.device;
      this.queue.run([command(ITS_OP.MOVI, { device: id, event: before.eventId, icid: to }), this.sync(to)]);
      share.targets[index] = { ...before, cpu: to };
    };
    let done = false;
    return {
      commit: () => {
        try {
          move(cpu);
        } catch (error) {
          // refused at the SYNC, the MOVI stands
          if (doneOf(error) === 1) move(before.cpu);
          throw error;
        }
        done = true;
      },
      cancel: () => {
        if (done) move(before.cpu);
        done = false;
      },
    };
  }

  mask(block: MsiBlock, index: number): void {
    this.configure(block.share<ItsShare>(this), index, false);
  }
  unmask(block: MsiBlock, index: number): void {
    this.configure(block.share<ItsShare>(this), index, true);
  }

  owner(_cpu: number, number: number): { block: MsiBlock; index: number } | undefined {
    for (const share of this.shares) {
      const index = share.targets.findIndex((t) => t.intid === number);
      if (index < 0) continue;
      const block = this.parts.interrupts.blocksOf(share.owner).find((b) => b.share(this) === share);
      return block && { block, index };
    }
    return undefined;
  }

  dispose(): void {
    this.shares.clear();
  }

  digest(): string {
    const devices = [...this.devices.values()].sort((a, b) => a.id - b.id);
    return [this.parts.gic.lpis.digest(), ...devices.map((d) => `${d.id}:${d.events.digest()}`)].join(' ');
  }

  /** MAPD (first block of the device), then MAPTI, INV for each vector, SYNC. Takes everything back when one is refused. */
  private commit(share: ItsShare): void {
    const { device } = share;
    const first = !device.mapped;
    for (const { intid } of share.targets) this.parts.gic.configureLpi(intid, true);
    const commands: Command[] = first ? [mapd(device.id, device.itt, device.eventBits, true)] : [];
    for (const { eventId, intid, cpu } of share.targets)
      commands.push(command(ITS_OP.MAPTI, { device: device.id, event: eventId, intid, icid: cpu }));
    for (const { eventId } of share.targets) commands.push(command(ITS_OP.INV, { device: device.id, event: eventId }));
    for (const cpu of new Set(share.targets.map((t) => t.cpu))) commands.push(this.sync(cpu));
    try {
      this.queue.run(commands);
    } catch (error) {
      const done = doneOf(error, commands.length);
      device.mapped = first ? done > 0 : true;
      const events = Math.min(Math.max(done - (first ? 1 : 0), 0), share.targets.length);
      this.discard(share, events);
      throw error;
    }
    device.mapped = true;
    share.live = true;
  }

  /** Goes on where an earlier try was refused. */
  private unmap(share: ItsShare): void {
    if (share.live) this.discard(share, share.targets.length);
    share.live = false;
  }

  /** DISCARD of the first `count` events, MAPD V = 0 where nobody else uses the device. */
  private discard(share: ItsShare, count: number): void {
    const { device, targets } = share;
    const commands: Command[] = targets
      .slice(share.discarded, count)
      .map(({ eventId }) => command(ITS_OP.DISCARD, { device: device.id, event: eventId }));
    const events = commands.length;
    const alone = device.mapped && ![...this.shares].some((s) => s !== share && s.device === device && s.live);
    if (alone) commands.push(mapd(device.id, device.itt, device.eventBits, false));
    for (const cpu of new Set(targets.map((t) => t.cpu))) commands.push(this.sync(cpu));
    for (const { intid } of targets) this.parts.gic.configureLpi(intid, false);
    if (count === 0 && !alone) return;
    try {
      this.queue.run(commands);
    } catch (error) {
      const done = doneOf(error);
      share.discarded += Math.min(done, events);
      if (alone && done > events) device.mapped = false;
      throw error;
    }
    if (alone) device.mapped = false;
  }

  private giveBack(share: ItsShare): void {
    if (!this.shares.delete(share)) return;
    const { device, targets } = share;
    device.events.give(targets.map((t) => t.eventId));
    this.parts.gic.lpis.give(targets.map((t) => t.intid));
    if (--device.users > 0) return;
    this.devices.delete(device.id);
    device.free();
  }

  private configure(share: ItsShare, index: number, enabled: boolean): void {
    const { eventId, intid, cpu } = share.targets[index]!;
    const reread = [command(ITS_OP.INV, { device: share.device.id, event: eventId }), this.sync(cpu)];
    this.parts.gic.configureLpi(intid, enabled);
    try {
      this.queue.run(reread);
    } catch (error) {
      this.parts.gic.configureLpi(intid, !share.masked.has(index));
      // refused at the SYNC, the INV stands
      if (doneOf(error) > 0) this.queue.run(reread);
      throw error;
    }
    if (enabled) share.masked.delete(index);
    else share.masked.add(index);
  }

  private deviceId(device: Device): number {
    return unitFor(this.parts.host.nodes, device, 'msiMap')?.id ?? effectiveId(device);
  }

  private sync(cpu: number): Command {
    return command(ITS_OP.SYNC, { target: this.target(cpu) });
  }
  /** RDbase: the processor number, or the redistributor's address without its low 16 bits. */
  private target(cpu: number): number {
    return this.physicalTargets ? this.parts.gic.redistributor(cpu) / 0x10000 : cpu;
  }

  /** Gives GITS_BASERn memory by its type. Devices get an indirect table where a flat one would take more than a page. */
  private table(at: number, deviceBits: number): void {
    const { host } = this.parts;
    const r = this.registers;
    const f = GITS_BASER[0]!;
    const type = getAt(read64(r, at), 0, f.Type);
    if (type === BASER_TYPE.NONE) return;
    const entry = getAt(read64(r, at), 0, f.Entry_Size) + 1;
    r.write64(at, 0, 2 << f.Page_Size.lsb); // 64 KiB pages, if it takes them
    const pageBytes = BASER_PAGE[getAt(read64(r, at), 0, f.Page_Size)]!;
    const pageField = r.read32(at) & f.Page_Size.mask;
    const entries = type === BASER_TYPE.DEVICES ? 2 ** deviceBits : this.cpus.length;
    let pages = Math.ceil((entries * entry) / pageBytes);
    let indirect = 0;
    if (type === BASER_TYPE.DEVICES && pages > 1) {
      r.write64(at, f.Indirect.mask, pageField);
      indirect = (r.read32(at + 4) & f.Indirect.mask) >>> 0;
      if (indirect) pages = Math.ceil((pages * 8) / pageBytes);
    }
    const base = host.pages.allocate(pages * pageBytes, pageBytes);
    const hi = Math.floor(base / 2 ** 32);
    // 64 KiB pages: PA[51:48] stand in bits 15:12
    const high = pageBytes === 0x10000 ? (hi & 0xffff) | 0 : hi;
    const low = pageBytes === 0x10000 ? ((hi >>> 16) & 0xf) << 12 : 0;
    const cached = (7 << 27) | f.Valid.mask;
    r.write64(at, (high | cached | indirect) >>> 0, ((base >>> 0) | low | pageField | (1 << 10) | (pages - 1)) >>> 0);
    if (indirect) this.indirect = { table: base, pageBytes, perPage: Math.floor(pageBytes / entry) };
  }

  /** A page for the DeviceID's part of an indirect device table, reserved only; null where there is one. */
  private levelTwo(id: number): LevelTwoPage | null {
    if (this.indirect === null) return null;
    const { memory, pages } = this.parts.host;
    const { table, pageBytes, perPage } = this.indirect;
    const at = table + 8 * Math.floor(id / perPage);
    if (memory.read32(at + 4) >>> 31 === 1) return null;
    return { at, base: pages.allocate(pageBytes, pageBytes), bytes: pageBytes };
  }

  /** Makes a reserved page part of the table. It stays when the block goes: an empty one maps nothing. */
  private linkLevelTwo(share: ItsShare): void {
    const { memory, pages } = this.parts.host;
    const page = share.page;
    if (page === null) return;
    share.page = null;
    if (memory.read32(page.at + 4) >>> 31 === 1) return pages.free(page.base, page.bytes);
    memory.write64(page.at, (0x8000_0000 | Math.floor(page.base / 2 ** 32)) >>> 0, page.base >>> 0);
    memory.barrier();
  }
}

/** How many commands of a refused run took effect. */
const doneOf = (error: unknown, otherwise = 0): number =>
  error instanceof HardwareError ? Number(error.details['done'] ?? 0) : otherwise;
