import { expect } from 'vitest';
import { Bench, type Seen } from './bench.js';
import { DEVIATIONS, type Deviation, type Note } from './deviations.js';
import type { Side } from './side.js';

/** Runs the same operations on both sides and compares what each shows, field by field. */
export class Pair {
  private readonly model: Bench;
  private readonly qemu: Bench;
  /** Hits per deviation. */
  readonly hits = new Map<string, number>();
  /** Operations compared, fields compared. */
  compared = 0;
  fields = 0;
  private row = '';

  constructor(
    readonly modelSide: Side,
    readonly qemuSide: Side,
  ) {
    this.model = new Bench(modelSide);
    this.qemu = new Bench(qemuSide);
  }

  /** A new scenario. */
  begin(row: string, what?: string): void {
    this.row = row;
    this.both((b) => b.start(what));
  }

  /** Without a result. */
  both(act: (bench: Bench) => void): void {
    act(this.model);
    act(this.qemu);
  }

  /** With one: both must show the same, known deviations aside. Returns the model's. */
  same(look: (bench: Bench) => Seen, note: Note = {}): Seen {
    const model = look(this.model);
    const qemu = look(this.qemu);
    const wrong: string[] = [];
    for (const field of new Set([...Object.keys(model), ...Object.keys(qemu)])) {
      this.fields++;
      if (model[field] === qemu[field]) continue;
      const known = DEVIATIONS.find((d) => d.field === field && d.applies(note, model, qemu));
      if (known && known.qemu(note, model) === qemu[field]) this.hits.set(known.id, (this.hits.get(known.id) ?? 0) + 1);
      else
        wrong.push(
          `${field}: model ${model[field]}, QEMU ${qemu[field]}${known ? ` (${known.id} says ${known.qemu(note, model)})` : ''}`,
        );
    }
    this.compared++;
    expect({ row: this.row, wrong }).toEqual({ row: this.row, wrong: [] });
    return model;
  }

  close(): void {
    this.modelSide.close();
    this.qemuSide.close();
  }
}

/** Entries that nothing needed. */
export const unused = (hits: ReadonlyMap<string, number>, all: readonly Deviation[] = DEVIATIONS): string[] =>
  all.map((d) => d.id).filter((id) => !hits.has(id));
