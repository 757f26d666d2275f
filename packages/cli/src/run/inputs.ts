import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Platform } from '@doorbell/platform';
import { InputError } from '../inputs.js';

export const isModule = (path: string): boolean =>
  /\.[cm]?js$/i.test(path) && (statSync(path, { throwIfNoEntry: false })?.isFile() ?? false);

/**
 * The platform of a module: its default export (or `platform`), a composed `Platform` or a function that makes one.
 * Errors: `InputError`.
 */
export async function loadPlatform(path: string): Promise<Platform> {
  if (!existsSync(path)) throw new InputError(`${path}: there is no such file`);
  let exported: { default?: unknown; platform?: unknown };
  try {
    exported = (await import(pathToFileURL(resolve(path)).href)) as typeof exported;
  } catch (error) {
    throw new InputError(`${path}: cannot be loaded: ${error instanceof Error ? error.message : String(error)}`);
  }
  let made = exported.default ?? exported.platform;
  try {
    if (typeof made === 'function') made = await (made as () => unknown)();
  } catch (error) {
    throw new InputError(
      `${path}: making the platform failed: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (!isPlatform(made))
    throw new InputError(
      `${path}: exports no Platform: export default new Platform(…).use(…).compose(), or a function that returns it`,
    );
  return made;
}

/** By what it can do: the module may have another copy of the package. */
const isPlatform = (value: unknown): value is Platform => {
  if (value instanceof Platform) return true;
  const p = value as Partial<Platform> | null | undefined;
  return typeof p?.service === 'function' && typeof p.compose === 'function' && typeof p.trace?.record === 'function';
};
