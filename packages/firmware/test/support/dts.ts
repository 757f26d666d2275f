import { execFileSync } from 'node:child_process';

/** A node of a decoded tree. Values are either cells or strings, as dtc prints them. */
export interface DtsNode {
  readonly path: string;
  readonly parent: DtsNode | null;
  readonly children: DtsNode[];
  readonly cells: Map<string, number[]>;
  readonly strings: Map<string, string[]>;
}

/** What `dtc -O dts` says about a tree, read line by line: dtc prints one node head, one property or one brace per line. */
export function decode(path: string): DtsNode[] {
  const text = execFileSync('dtc', ['-q', '-I', 'dtb', '-O', 'dts', path], {
    encoding: 'latin1',
    maxBuffer: 1 << 26,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const all: DtsNode[] = [];
  let node: DtsNode | null = null;
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    const head = /^(?:[\w-]+: )?([^\s={}"]+) \{$/.exec(line);
    if (head) {
      const name = head[1]!;
      const path: string = node === null ? '/' : (node.parent === null ? '' : node.path) + '/' + name;
      const next: DtsNode = { path, parent: node, children: [], cells: new Map(), strings: new Map() };
      node?.children.push(next);
      all.push(next);
      node = next;
    } else if (line === '};') node = node!.parent;
    else if (node !== null && /^[^/].*;$/.test(line)) {
      const [, name, value] = /^([^\s=;]+)(?: = (.*))?;$/.exec(line) ?? [];
      if (name === undefined) continue;
      if (value === undefined) node.cells.set(name, []);
      else if (value.startsWith('<')) {
        node.cells.set(
          name,
          value
            .slice(1, -1)
            .trim()
            .split(/\s+/)
            .map((c) => Number(c)),
        );
      } else if (value.startsWith('"')) {
        const inside = value.slice(1, -1);
        node.strings.set(
          name,
          inside.split(/\\0|", "/).filter((s) => s !== ''),
        );
      }
    }
  }
  return all;
}

export const isOn = (n: DtsNode): boolean =>
  ['okay', 'ok', undefined].includes(n.strings.get('status')?.[0]) && (n.parent === null || isOn(n.parent));

export const is = (n: DtsNode, ...any: string[]): boolean =>
  (n.strings.get('compatible') ?? []).some((c) => any.includes(c));

const count = (n: DtsNode | null, what: string, absent: number): number => n?.cells.get(what)?.[0] ?? absent;
const join = (cells: readonly number[]): bigint => cells.reduce((v, c) => v * 0x1_0000_0000n + BigInt(c), 0n);

/** First `reg` entry as the CPU sees it: [base, size] in hex; null where no `ranges` leads there. */
export function reg(n: DtsNode): { base: bigint | null; size: bigint } | null {
  const cells = n.cells.get('reg');
  if (!cells || !n.parent) return null;
  const a = count(n.parent, '#address-cells', 2);
  const s = count(n.parent, '#size-cells', 1);
  let at: bigint | null = join(cells.slice(0, a));
  for (let bus = n.parent; bus.parent !== null && at !== null; bus = bus.parent) {
    const ranges = bus.cells.get('ranges');
    if (!ranges) return { base: null, size: 0n };
    if (ranges.length === 0) continue;
    const child = count(bus, '#address-cells', 2);
    const up = count(bus.parent, '#address-cells', 2);
    const row = child + up + count(bus, '#size-cells', 1);
    let next: bigint | null = null;
    for (let i = 0; i < ranges.length; i += row) {
      const from = join(ranges.slice(i, i + child));
      const size = join(ranges.slice(i + child + up, i + row));
      if (next === null && at >= from && at < from + size)
        next = at - from + join(ranges.slice(i + child, i + child + up));
    }
    at = next;
  }
  return { base: at, size: join(cells.slice(a, a + s)) };
}
