/** One property: its bytes and where it stands in the file. */
export interface Property {
  readonly offset: number;
  readonly value: Uint8Array;
}

/** A node of a device tree. `offset` is that of its begin token in the file. */
export class TreeNode {
  readonly children: TreeNode[] = [];
  readonly properties = new Map<string, Property>();
  readonly path: string;

  constructor(
    readonly name: string,
    readonly parent: TreeNode | null,
    readonly offset: number,
  ) {
    this.path = parent === null ? '/' : (parent.parent === null ? '' : parent.path) + '/' + name;
  }

  has(name: string): boolean {
    return this.properties.has(name);
  }
  /** Where the property stands; the node's own offset if it is absent. */
  offsetOf(name: string): number {
    return this.properties.get(name)?.offset ?? this.offset;
  }
  /** Big-endian 32-bit cells; bytes beyond a multiple of four are left out (see `isWhole`). Null if absent. */
  cells(name: string): number[] | null {
    const value = this.properties.get(name)?.value;
    if (value === undefined) return null;
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    return Array.from({ length: value.length >> 2 }, (_, i) => view.getUint32(4 * i));
  }
  cell(name: string): number | null {
    return this.cells(name)?.[0] ?? null;
  }
  /** NUL-separated strings. */
  strings(name: string): string[] {
    const value = this.properties.get(name)?.value;
    if (value === undefined) return [];
    const text = Array.from(value, (c) => String.fromCharCode(c)).join('');
    return text.split('\0').filter((s) => s !== '');
  }
  isCompatible(...any: readonly string[]): boolean {
    return this.strings('compatible').some((c) => any.includes(c));
  }
  /** Devicetree Specification 2.3.4: no status means okay. */
  get status(): string {
    return this.strings('status')[0] ?? 'okay';
  }
  get isOff(): boolean {
    return this.status !== 'okay' && this.status !== 'ok';
  }
  get phandle(): number | null {
    return this.cell('phandle') ?? this.cell('linux,phandle');
  }
}

export interface Tree {
  readonly file: string;
  readonly root: TreeNode;
}

/** Every node, parents first, in the order of the file. */
export function* walk(node: TreeNode): Generator<TreeNode> {
  const stack = [node];
  while (stack.length > 0) {
    const next = stack.pop()!;
    yield next;
    for (let i = next.children.length - 1; i >= 0; i--) stack.push(next.children[i]!);
  }
}
