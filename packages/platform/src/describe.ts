import { hex, rangeOf } from './address.js';
import type { Built } from './compose.js';
import type { Platform } from './platform.js';
import { tokenName } from './tokens.js';

export interface DescribedNode {
  readonly name: string;
  readonly compatible: string;
  readonly ranges: readonly { readonly first: string; readonly last: string }[];
  readonly needs: readonly string[];
  readonly provides: readonly string[];
  readonly halves: readonly ('model' | 'driver')[];
}

/** The platform's tree, for people (`text`), programs (`json`) and pictures (`mermaid`). */
export interface Description {
  readonly text: string;
  readonly json: {
    readonly name: string;
    readonly memory: readonly { readonly first: string; readonly last: string }[];
    readonly nodes: readonly DescribedNode[];
  };
  readonly mermaid: string;
}

const show = (base: number, size: number) => {
  const r = rangeOf(base, size);
  return { first: hex(r.first), last: hex(r.last) };
};

export function describe(platform: Platform, built: Built): Description {
  const nodes = built.blocks.map(({ node, definition, model, driver }): DescribedNode => {
    const halves = [definition.model, definition.driver];
    return {
      name: node.name,
      compatible: node.compatible,
      ranges: (node.reg ?? []).map((r) => show(r.base, r.size)),
      needs: [...new Set(halves.flatMap((h) => [...(h?.needs ?? []), ...(h?.wants ?? [])]).map(tokenName))],
      provides: [...new Set(halves.flatMap((h) => [...(h?.provides ?? [])]).map(tokenName))],
      halves: [...(model ? (['model'] as const) : []), ...(driver ? (['driver'] as const) : [])],
    };
  });
  const memory = platform.memoryModel.banks.map((b) => show(b.base, b.size));
  const lines = [
    platform.name,
    ...memory.map((m) => `├─ RAM ${m.first}–${m.last}`),
    ...nodes.map((n, i) => {
      const where = n.ranges.map((r) => ` ${r.first}–${r.last}`).join('');
      return `${i === nodes.length - 1 ? '└' : '├'}─ ${n.name} (${n.compatible})${where}${n.halves.length ? ` [${n.halves.join(' + ')}]` : ''}`;
    }),
  ];
  const provider = new Map(nodes.flatMap((n) => n.provides.map((p) => [p, n.name] as const)));
  // Numbered: names may hold anything, and some words mean something to Mermaid.
  const ids = new Map(nodes.map((n, i) => [n.name, `n${i}`]));
  const id = (name: string) => ids.get(name)!;
  const mermaid = [
    'graph LR',
    ...nodes.map((n) => `  ${id(n.name)}["${n.name}<br/>${n.compatible}"]`),
    ...nodes.flatMap((n) =>
      n.needs
        .filter((t) => provider.has(t) && provider.get(t) !== n.name)
        .map((t) => `  ${id(n.name)} -->|${t}| ${id(provider.get(t)!)}`),
    ),
    ...built.blocks.flatMap(({ node }) =>
      (['iommuMap', 'msiMap'] as const).flatMap((map) =>
        [...new Set((node[map] ?? []).map((e) => e.to))].map((to) => `  ${id(node.name)} -.->|${map}| ${id(to)}`),
      ),
    ),
  ].join('\n');
  return { text: lines.join('\n'), json: { name: platform.name, memory, nodes }, mermaid };
}
