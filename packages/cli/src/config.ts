import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { z } from 'zod';

/** A plugin as `doorbell plugins` lists it and other commands use it. */
export interface PluginEntry {
  /** As in `platform.use`: `vtd`, `gicv3-its`. */
  readonly name: string;
  /** npm package, `@doorbell/x86-vtd`. */
  readonly package: string;
  readonly role: 'iommu' | 'irqchip' | 'both';
  /** What it models, in the words of firmware: `intel-vtd`, `arm,smmu-v3`, `fsl,pamu`. */
  readonly compatible: readonly string[];
  /** Who else than its author says that it is right: `QEMU`, `Linux capture`, `fact sheet only`. */
  readonly judgedBy: readonly string[];
  /** Further members belong to the commands that use them. */
  readonly [more: string]: unknown;
}
/** A board that commands can name. */
export interface BoardEntry {
  readonly name: string;
  readonly [more: string]: unknown;
}
/** The default export of a doorbell.config.js. */
export interface DoorbellConfig {
  readonly plugins: readonly PluginEntry[];
  readonly boards: readonly BoardEntry[];
}
export interface LoadedConfig extends DoorbellConfig {
  /** Where it came from; null if there is none anywhere. */
  readonly file: string | null;
}

/** What users write. Further members are left as they are: they belong to the commands that use them. */
const PLUGIN = z.looseObject({
  name: z.string().min(1),
  package: z.string().min(1),
  role: z.enum(['iommu', 'irqchip', 'both']),
  compatible: z.array(z.string()),
  judgedBy: z.array(z.string()),
});
const CONFIG = z.object({
  plugins: z.array(PLUGIN).default([]),
  boards: z.array(z.looseObject({ name: z.string().min(1) })).default([]),
});

/** Types and completion for a doorbell.config.js; changes nothing. */
export const defineConfig = (config: DoorbellConfig): DoorbellConfig => config;

const NAME = 'doorbell.config.js';

/** The nearest doorbell.config.js from `from` upward, else the one beside packages/. */
export function findConfig(from: string): string | null {
  for (let dir = resolve(from); ; dir = dirname(dir)) {
    const file = join(dir, NAME);
    if (existsSync(file)) return file;
    if (dirname(dir) === dir) break;
  }
  const own = fileURLToPath(new URL(`../../../${NAME}`, import.meta.url));
  return existsSync(own) ? own : null;
}

/** Loads and checks a configuration. Errors: an Error naming the file and what is wrong with it. */
export async function loadConfig(file: string | null = findConfig(process.cwd())): Promise<LoadedConfig> {
  if (file === null) return { file, plugins: [], boards: [] };
  if (!existsSync(file)) throw new Error(`${file}: there is no such file`);
  let exported: unknown;
  try {
    exported = ((await import(pathToFileURL(resolve(file)).href)) as { default?: unknown }).default;
  } catch (error) {
    throw new Error(`${file}: cannot be loaded: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  const checked = CONFIG.safeParse(exported);
  if (!checked.success) {
    const [first] = checked.error.issues;
    const at = first!.path.map((k) => (typeof k === 'number' ? `[${k}]` : `.${String(k)}`)).join('');
    throw new Error(
      `${file}: default export${at}: ${first!.message}; export default { plugins: [...], boards: [...] }`,
    );
  }
  return { file, ...checked.data };
}
