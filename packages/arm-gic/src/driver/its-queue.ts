import { setAt, setWide } from '@doorbell/bits';
import { HardwareError, type Machine, type RegisterPort } from '@doorbell/platform';
import {
  GITS_CBASER,
  GITS_CREADR,
  GITS_CWRITER,
  ITS_COMMAND,
  ITS_COMMAND_SIZE,
  ITS_OP,
  ITS_OP_NAMES,
  MAPD,
} from '../spec/index.js';

const QUEUE_BYTES = 0x10000;
const WORDS = ITS_COMMAND_SIZE / 4;

/** One command's words. */
export type Command = Uint32Array;

interface Fields {
  readonly device?: number;
  readonly event?: number;
  readonly intid?: number;
  readonly icid?: number;
  readonly target?: number;
  readonly valid?: boolean;
}

export function command(op: number, f: Fields = {}): Command {
  const w = new Uint32Array(WORDS);
  setAt(w, 0, ITS_COMMAND.OPCODE, op);
  if (f.device !== undefined) setAt(w, 0, ITS_COMMAND.DeviceID, f.device);
  if (f.event !== undefined) setAt(w, 0, ITS_COMMAND.EventID, f.event);
  if (f.intid !== undefined) setAt(w, 0, ITS_COMMAND.pINTID, f.intid);
  if (f.icid !== undefined) setAt(w, 0, ITS_COMMAND.ICID, f.icid);
  if (f.target !== undefined) setWide(w, 0, ITS_COMMAND.RDbase, f.target);
  if (f.valid) setAt(w, 0, ITS_COMMAND.V, 1);
  return w;
}

export function mapd(device: number, itt: number, eventBits: number, valid: boolean): Command {
  const w = new Uint32Array(WORDS);
  setAt(w, 0, MAPD.OPCODE, ITS_OP.MAPD);
  setAt(w, 0, MAPD.DeviceID, device);
  setAt(w, 0, MAPD.Size, eventBits - 1);
  setWide(w, 0, MAPD.ITT, itt / 256);
  if (valid) setAt(w, 0, MAPD.V, 1);
  return w;
}

/** The command queue, software's side. */
export class ItsQueue {
  readonly base: number;
  private at = 0;

  constructor(
    private readonly machine: Machine,
    private readonly registers: RegisterPort,
    private readonly name: string,
  ) {
    this.base = machine.pages.allocate(QUEUE_BYTES);
    // inner write-back (7), inner shareable (1)
    const hi = (Math.floor(this.base / 2 ** 32) | GITS_CBASER.Valid.mask | (7 << 27)) >>> 0;
    registers.write64(GITS_CBASER.$.at, hi, ((this.base >>> 0) | (1 << 10) | (QUEUE_BYTES / 4096 - 1)) >>> 0);
    registers.write64(GITS_CWRITER.$.at, 0, 0);
  }

  /**
   * Runs commands in order and returns when all are done. When the ITS refuses one, the commands after it have no effect.
   * Errors: `HARDWARE_REFUSED` with `done`, the number of commands that took effect.
   */
  run(commands: readonly Command[]): void {
    const most = QUEUE_BYTES / ITS_COMMAND_SIZE - 1;
    for (let first = 0; first < commands.length; first += most) this.part(commands.slice(first, first + most), first);
  }

  private part(commands: readonly Command[], before: number): void {
    const { machine, registers } = this;
    const start = this.at;
    for (const words of commands) {
      for (let i = 0; i < WORDS; i += 2) machine.memory.write64(this.base + this.at + 4 * i, words[i + 1]!, words[i]!);
      this.at = (this.at + ITS_COMMAND_SIZE) % QUEUE_BYTES;
    }
    machine.memory.barrier();
    registers.write64(GITS_CWRITER.$.at, 0, this.at);
    if (!this.drained()) this.recover(commands, start, before);
  }

  /** Waits; false: stalled. */
  private drained(): boolean {
    let creadr = 0;
    this.machine.waitUntil(`${this.name} to process commands`, () => {
      creadr = this.registers.read32(GITS_CREADR.$.at);
      return (creadr & GITS_CREADR.Stalled.mask) !== 0 || (creadr & GITS_CREADR.Offset.mask) === this.at;
    });
    return (creadr & GITS_CREADR.Stalled.mask) === 0;
  }

  /** Overwrites the refused command and those behind it by SYNC of redistributor 0, lets the queue run empty, and throws. */
  private recover(commands: readonly Command[], start: number, before: number): never {
    const { machine, registers } = this;
    const stopped = registers.read32(GITS_CREADR.$.at) & GITS_CREADR.Offset.mask;
    const index = ((stopped - start + QUEUE_BYTES) % QUEUE_BYTES) / ITS_COMMAND_SIZE;
    const harmless = command(ITS_OP.SYNC, { target: 0 });
    for (let at = stopped; at !== this.at; at = (at + ITS_COMMAND_SIZE) % QUEUE_BYTES)
      for (let i = 0; i < WORDS; i += 2) machine.memory.write64(this.base + at + 4 * i, harmless[i + 1]!, harmless[i]!);
    machine.memory.barrier();
    registers.write64(GITS_CWRITER.$.at, 0, (this.at | GITS_CWRITER.Retry.mask) >>> 0);
    const clean = this.drained();
    const op = commands[index]![0]! & 0xff;
    throw new HardwareError(
      'HARDWARE_REFUSED',
      `${this.name} refused ${ITS_OP_NAMES[op] ?? op} (command ${before + index})`,
      clean ? 'the change was taken back' : 'its command queue stays stalled: reset it',
      { unit: this.name, command: ITS_OP_NAMES[op], done: before + index },
    );
  }
}
