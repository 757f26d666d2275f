import type { Model } from './block.js';
import type { PhysicalMemory } from './memory.js';
import type { PlatformNode } from './node.js';
import type { Plugin } from './plugin.js';

/** 32-bit register words of one block as a captured machine had them, by byte offset. */
export interface CapturedBlock {
  readonly base: number;
  readonly words: ReadonlyMap<number, number>;
  /** What could not be read, for people. */
  readonly problems: readonly string[];
}

/** What putting a capture into a model came to: what has no place there, or is missing. */
export interface CaptureRestored {
  readonly problems: string[];
}

/** Models that take a captured machine's registers (registers.json as a whole, or one block of it) without the effects of writing them. */
export interface Restorable {
  restoreCapture(registers: unknown): CaptureRestored;
}

/** A piece of memory that a block answers from: a table, or one page of a tree of tables. */
export interface TableExtent {
  /** In the specification's words. */
  readonly what: string;
  readonly at: number;
  /** Bytes. */
  readonly size: number;
}

/**
 * What a plugin contributes so that captures of its hardware can be asked: the tools that do so name no back-end. Its models take the
 * registers as `Restorable`s.
 */
export interface CaptureContribution {
  /** Nodes that it takes: `intel,vtd`. */
  readonly compatible: readonly string[];
  /** `kind` in a registers.json, for captures without a firmware table that describes the block. */
  readonly kind?: string;
  /** The plugin whose models are used. Nodes that it brings and its drivers are left out. */
  plugin(): Plugin;
  /** The node of a captured block: what firmware says, made exact by the registers. Never throws. */
  node?(node: PlatformNode, registers: unknown): PlatformNode;
  /** A node from the registers alone. Never throws. */
  bare?(registers: unknown): PlatformNode;
  /**
   * All memory that the restored model's answers depend on: what a snapshot keeps of a dump. Damaged tables end the list early, never
   * throw.
   */
  tables?(model: Model, memory: PhysicalMemory): Iterable<TableExtent>;
  /** What would have to change, by the name of a fault or a refusal: one sentence each. */
  readonly remedies?: Readonly<Record<string, string>>;
}

/**
 * The block at `base` in a capture's registers.json: the file itself, a value in it or an element of one, with either `words`
 * ({ offset: word }) or `registers` ({ name: { offset, width, value | values } }). Null where there is none.
 */
export function capturedBlock(registers: unknown, base: number): CapturedBlock | null {
  const candidates = isObject(registers) ? [registers, ...Object.values(registers).flat()] : [];
  for (const c of candidates) {
    if (!isObject(c) || number(c['base']) !== base) continue;
    const words = new Map<number, number>();
    const problems: string[] = [];
    if (isObject(c['words'])) {
      for (const [offset, value] of Object.entries(c['words'])) put(words, problems, offset, offset, 32, value);
    } else if (isObject(c['registers'])) {
      for (const [name, r] of Object.entries(c['registers'])) {
        if (!isObject(r)) continue;
        const width = number(r['width']) === 64 ? 64 : 32;
        const values: unknown[] = Array.isArray(r['values']) ? r['values'] : [r['value']];
        values.forEach((v, i) => {
          const offset = number(r['offset']);
          put(words, problems, name, offset === null ? null : offset + (i * width) / 8, width, v);
        });
      }
    } else continue;
    return { base, words, problems };
  }
  return null;
}

function put(
  words: Map<number, number>,
  problems: string[],
  name: string,
  offset: unknown,
  width: number,
  value: unknown,
): void {
  const at = number(offset);
  const v = big(value);
  if (at === null || v === null) {
    problems.push(`${name}: no offset or value that can be read`);
    return;
  }
  words.set(at, Number(v & 0xffff_ffffn));
  if (width === 64 || v > 0xffff_ffffn) words.set(at + 4, Number((v >> 32n) & 0xffff_ffffn));
}

const isObject = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null;

function big(x: unknown): bigint | null {
  if (typeof x === 'number' && Number.isSafeInteger(x) && x >= 0) return BigInt(x);
  return typeof x === 'string' && /^(0x[0-9a-f]+|\d+)$/i.test(x) ? BigInt(x) : null;
}

const number = (x: unknown): number | null => {
  const v = big(x);
  return v === null ? null : Number(v);
};
