/**
 * Register files as one value for `capturedBlock`. A block that says which offsets were read (`covered`: [first, end]) and leaves out those that
 * read 0 gets its zeros back.
 */
export function withCoveredZeros(values: readonly unknown[]): unknown {
  const filled = values.map(filledBlocks);
  if (filled.length <= 1) return filled[0] ?? {};
  return Object.fromEntries(filled.map((value, i) => [`file${i}`, value]));
}

/** The blocks of a value: itself, or what is in it. One without a `kind` is of the kind that it is called. */
export function blocksIn(registers: unknown): Record<string, unknown>[] {
  if (!isObject(registers)) return [];
  const inside = Object.entries(registers).flatMap(([name, v]): Record<string, unknown>[] =>
    (Array.isArray(v) ? (v as unknown[]) : [v]).filter(isObject).map((block) => ({ kind: name, ...block })),
  );
  return [registers, ...inside].filter((c) => isObject(c['words']) || isObject(c['registers']) || isObject(c['named']));
}

/** A block, an object of blocks (or of lists of them), or a list. */
function filledBlocks(value: unknown): unknown {
  if (Array.isArray(value)) return { blocks: value.map(fill) };
  if (!isObject(value)) return value;
  const inside = (v: unknown): unknown => (Array.isArray(v) ? v.map(fill) : fill(v));
  return fill(Object.fromEntries(Object.entries(value).map(([k, v]) => [k, inside(v)])));
}

function fill(value: unknown): unknown {
  if (!isObject(value)) return value;
  const { covered, words } = value;
  if (!Array.isArray(covered) || !isObject(words)) return value;
  const [first, end] = covered.map(Number);
  if (!(Number.isInteger(first) && Number.isInteger(end) && end! - first! <= 0x10_0000)) return value;
  const all: Record<string, unknown> = {};
  for (let at = first! & ~3; at < end!; at += 4) all[`0x${at.toString(16)}`] = '0x0';
  for (const [at, word] of Object.entries(words)) {
    all[`0x${Number(at).toString(16)}`] = word;
    // A value of more than 32 bits brings its upper half itself.
    if (Number(word) > 0xffff_ffff && !(`0x${(Number(at) + 4).toString(16)}` in words))
      delete all[`0x${(Number(at) + 4).toString(16)}`];
  }
  return { ...value, words: all };
}

const isObject = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null && !Array.isArray(x);
