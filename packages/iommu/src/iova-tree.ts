/** Granules first to last. */
export interface FreeRange {
  first: number;
  last: number;
}

/** log2 of what a word, and a node's children, count. */
const FAN = 5;
/** Orders that are found and taken within one word. */
const IN_WORD = 5;
/** The bits of a block, by order. */
const BLOCKS = Int32Array.of(1, 3, 0xf, 0xff, 0xffff);

/**
 * Which granules of an IOVA space are free. Gives the highest place that fits: blocks of 2^order granules, naturally aligned. Deterministic;
 * a call that fails changes nothing.
 *
 * A tree of 32 children per node over words of 32 granules, one bit each. For every order a node has a mask of the children in which a block
 * of that order is free, so the way to the highest one is a leading-zero count per level, however fragmented the space is. Children that are
 * wholly free or wholly taken need no node of their own.
 */
export class IovaTree {
  /** Level of the root; nodes of level 0 hold words. */
  private readonly top: number;
  /** Masks per node: orders 0 to that of a root's child. */
  private readonly orders: number;

  /** Nodes, as columns; `root` is 0. */
  private count = 0;
  private readonly spare: number[] = [];
  /** By node and order: the children that have such a block free. */
  private masks = new Int32Array(0);
  /** By node and child: its word at level 0 (a bit is a free granule); above, its node, or -1 where its mask bits say all. */
  private below = new Int32Array(0);
  /** The largest order free below the node; -1: none. */
  private largest = new Int8Array(0);
  private parents = new Int32Array(0);
  private slots = new Uint8Array(0);
  /** First granule. */
  private bases = new Float64Array(0);
  /** Where `inWord` found a block. */
  private foundNode = 0;
  private foundChild = 0;

  /** Granules from `first` to `last` are free. */
  constructor(
    readonly first: number,
    readonly last: number,
  ) {
    let top = 0;
    while (this.last >= 2 ** (childOrder(top) + FAN)) top++;
    this.top = top;
    this.orders = childOrder(top) + 1;
    this.newNode(0, -1, 0, top > 0 ? -1 : 0);
    this.assign(0, top, this.first, this.last, true);
  }

  /** The first granule of a block that ends below `end`, or -1. */
  take(order: number, end: number): number {
    const size = 2 ** order;
    const start =
      end > this.last
        ? this.highest(0, this.top, order)
        : this.highestUpTo(Math.floor(end / size) * size - size, 0, this.top, order);
    if (start < 0) return -1;
    if (order < IN_WORD) this.setBits(this.foundNode, this.foundChild, order, start, false);
    else this.assign(0, this.top, start, start + size - 1, false);
    return start;
  }

  /** Takes a block back. */
  give(order: number, start: number): void {
    if (order >= IN_WORD) return this.assign(0, this.top, start, start + 2 ** order - 1, true);
    let n = 0;
    const far = start / 2 ** 15;
    for (let level = this.top; level > 1; level--) n = this.enter(n, level, (far >>> (FAN * (level - 2))) & 31);
    if (this.top > 0) n = this.enter(n, 1, (start >>> 10) & 31);
    this.setBits(n, (start >>> FAN) & 31, order, start, true);
  }

  /** Makes granules `first` to `last` free or taken, whatever they were. */
  set(first: number, last: number, free: boolean): void {
    this.assign(0, this.top, Math.max(first, this.first), Math.min(last, this.last), free);
  }

  /** The free granules, ascending, adjacent ones together. */
  ranges(): FreeRange[] {
    const ranges: FreeRange[] = [];
    const add = (first: number, count: number) => {
      const before = ranges.at(-1);
      if (before?.last === first - 1) before.last += count;
      else ranges.push({ first, last: first + count - 1 });
    };
    const walk = (n: number, level: number) => {
      const order = childOrder(level);
      for (let c = 0; c < 32; c++) {
        const base = this.bases[n]! + c * 2 ** order;
        const below = this.below[32 * n + c]!;
        if ((this.masks[this.orders * n + order]! >>> c) & 1) add(base, 2 ** order);
        else if (level > 0 && below >= 0) walk(below, level - 1);
        else if (level === 0) for (let b = 0; b < 32; b++) if ((below >>> b) & 1) add(base + b, 1);
      }
    };
    walk(0, this.top);
    return ranges;
  }

  /** The highest block of an order below a node: its first granule, or -1. */
  private highest(n: number, level: number, order: number): number {
    if (order > this.largest[n]!) return -1;
    for (; order < childOrder(level); level--) {
      const c = 31 - Math.clz32(this.masks[this.orders * n + order]!);
      if (level === 0) return this.inWord(n, c, order, 31);
      n = this.enter(n, level, c);
    }
    return this.ofWholeChildren(n, level, order, 31);
  }

  /** The same where it may start at `bound` at most, a multiple of the block's size. */
  private highestUpTo(bound: number, n: number, level: number, order: number): number {
    const size = childOrder(level);
    const c = Math.min(31, Math.floor((bound - this.bases[n]!) / 2 ** size));
    if (c < 0 || order > this.largest[n]!) return -1;
    if (order >= size) return this.ofWholeChildren(n, level, order, c);
    const mask = this.masks[this.orders * n + order]!;
    if ((mask >>> c) & 1) {
      const found =
        level === 0
          ? this.inWord(n, c, order, Math.min(31, bound - this.bases[n]! - 32 * c))
          : this.highestUpTo(bound, this.enter(n, level, c), level - 1, order);
      if (found >= 0) return found;
    }
    const lower = mask & ((1 << c) - 1);
    if (lower === 0) return -1;
    const next = 31 - Math.clz32(lower);
    return level === 0 ? this.inWord(n, next, order, 31) : this.highest(this.enter(n, level, next), level - 1, order);
  }

  private inWord(n: number, c: number, order: number, upTo: number): number {
    const starts = groups(this.below[32 * n + c]!, order) & ((2 << upTo) - 1);
    if (starts === 0) return -1;
    this.foundNode = n;
    this.foundChild = c;
    return this.bases[n]! + 32 * c + 31 - Math.clz32(starts);
  }

  private ofWholeChildren(n: number, level: number, order: number, upTo: number): number {
    const size = childOrder(level);
    const starts = groups(this.masks[this.orders * n + size]!, order - size) & ((2 << upTo) - 1);
    return starts === 0 ? -1 : this.bases[n]! + (31 - Math.clz32(starts)) * 2 ** size;
  }

  /** A block within one word becomes free or taken; what that means for larger ones goes up as far as anything changes. */
  private setBits(n: number, c: number, order: number, start: number, free: boolean): void {
    const bits = BLOCKS[order]! << (start & 31);
    const before = this.below[32 * n + c]!;
    const after = free ? before | bits : before & ~bits;
    this.below[32 * n + c] = after;
    let from = largestIn(before);
    let to = largestIn(after);
    for (let level = 0; from !== to; level++) {
      this.setMasks(n, 1 << c, from, to);
      from = this.largest[n]!;
      to = this.largest[n] = this.largestOf(n, level, Math.max(from, to));
      c = this.slots[n]!;
      n = this.parents[n]!;
      if (n < 0) return;
    }
  }

  /** The children of `bits` had blocks up to order `from` and have them up to `to`. */
  private setMasks(n: number, bits: number, from: number, to: number): void {
    const at = this.orders * n;
    for (let order = from + 1; order <= to; order++) this.masks[at + order]! |= bits;
    for (let order = to + 1; order <= from; order++) this.masks[at + order]! &= ~bits;
  }

  /** From the masks; nothing above `most` is free. */
  private largestOf(n: number, level: number, most: number): number {
    const size = childOrder(level);
    let order = Math.min(most, size);
    while (order >= 0 && this.masks[this.orders * n + order] === 0) order--;
    return order < size ? order : size + largestIn(this.masks[this.orders * n + size]!);
  }

  /** Granules first to last, as far as they lie below the node, become free or taken, whatever they were. */
  private assign(n: number, level: number, first: number, last: number, free: boolean): void {
    const size = childOrder(level);
    const base = this.bases[n]!;
    for (let at = first; at <= last; ) {
      const c = Math.floor((at - base) / 2 ** size);
      const start = base + c * 2 ** size;
      const end = Math.min(last, start + 2 ** size - 1);
      const whole = at === start && end === start + 2 ** size - 1;
      let to = free ? size : -1;
      if (level > 0 && !whole) {
        const child = this.enter(n, level, c);
        this.assign(child, level - 1, at, end, free);
        to = this.largest[child]!;
      } else if (level > 0) this.drop(n, level, c);
      else {
        const bits = ((2 ** (end - at + 1) - 1) << (at - start)) | 0;
        const word = free ? this.below[32 * n + c]! | bits : this.below[32 * n + c]! & ~bits;
        this.below[32 * n + c] = word;
        to = largestIn(word);
      }
      this.setMasks(n, 1 << c, -1, to);
      this.setMasks(n, 1 << c, size, to);
      at = end + 1;
    }
    this.largest[n] = this.largestOf(n, level, size);
  }

  /** The node of a child; made where the child was wholly free or wholly taken. */
  private enter(n: number, level: number, c: number): number {
    const child = this.below[32 * n + c]!;
    return child >= 0 ? child : this.open(n, level, c);
  }

  private open(n: number, level: number, c: number): number {
    const size = childOrder(level);
    const free = (this.masks[this.orders * n + size]! >>> c) & 1;
    // Words are all free or all taken; children above have no nodes.
    const child = this.newNode(this.bases[n]! + c * 2 ** size, n, c, level > 1 || free ? -1 : 0);
    this.largest[child] = free ? size : -1;
    this.masks.fill(free ? -1 : 0, this.orders * child, this.orders * child + childOrder(level - 1) + 1);
    return (this.below[32 * n + c] = child);
  }

  /** The child's nodes are not needed any more: it is all free or all taken. */
  private drop(n: number, level: number, c: number): void {
    const child = this.below[32 * n + c]!;
    if (child < 0) return;
    if (level > 1) for (let i = 0; i < 32; i++) this.drop(child, level - 1, i);
    this.below[32 * n + c] = -1;
    this.spare.push(child);
  }

  private newNode(base: number, parent: number, slot: number, below: number): number {
    const n = this.spare.pop() ?? this.count++;
    if (n === this.largest.length) this.grow(2 * n || 8);
    this.bases[n] = base;
    this.parents[n] = parent;
    this.slots[n] = slot;
    this.largest[n] = -1;
    this.below.fill(below, 32 * n, 32 * n + 32);
    return n;
  }

  private grow(nodes: number): void {
    this.masks = grown(this.masks, new Int32Array(nodes * this.orders));
    this.below = grown(this.below, new Int32Array(nodes * 32));
    this.largest = grown(this.largest, new Int8Array(nodes));
    this.parents = grown(this.parents, new Int32Array(nodes));
    this.slots = grown(this.slots, new Uint8Array(nodes));
    this.bases = grown(this.bases, new Float64Array(nodes));
  }
}

/** log2 of the granules of one child of a node. */
const childOrder = (level: number): number => FAN * (level + 1);

/** The aligned groups of 2^order bits that are all set, each by its lowest bit. */
function groups(word: number, order: number): number {
  if (order > 0) word &= (word >>> 1) & 0x5555_5555;
  if (order > 1) word &= (word >>> 2) & 0x1111_1111;
  if (order > 2) word &= (word >>> 4) & 0x0101_0101;
  if (order > 3) word &= (word >>> 8) & 0x0001_0001;
  if (order > 4) word &= word >>> 16;
  return order > 5 ? 0 : word;
}

/** The largest order of which `word` has a group; -1: none. */
function largestIn(word: number): number {
  if (word === 0) return -1;
  if ((word &= (word >>> 1) & 0x5555_5555) === 0) return 0;
  if ((word &= (word >>> 2) & 0x1111_1111) === 0) return 1;
  if ((word &= (word >>> 4) & 0x0101_0101) === 0) return 2;
  if ((word &= (word >>> 8) & 0x0001_0001) === 0) return 3;
  return (word & (word >>> 16)) === 0 ? 4 : 5;
}

function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from);
  return to;
}
