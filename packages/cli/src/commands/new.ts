import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXIT } from '../exit.js';
import { complain, print } from '../output.js';

export interface NewOptions {
  /** Default: `packages/NAME` in a Doorbell checkout, else `NAME` here. */
  readonly dir?: string;
  /** Where the @doorbell packages come from: `npm pack` tarballs, or a checkout. Default: the checkout of this command, else the registry. */
  readonly from?: string;
}

const TEMPLATES = fileURLToPath(new URL('../../templates', import.meta.url));
const SUFFIX = '.tmpl';
const GUIDE = 'docs/plugin-guide.md';
const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));

/** `doorbell new plugin|irqchip NAME`: a package that builds and conforms as created. */
export function create(kind: 'plugin' | 'irqchip', name: string, options: NewOptions): number {
  const fail = (message: string): number => {
    complain(message);
    return EXIT.usage;
  };
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name))
    return fail(`"${name}" is no name for a plugin: use lower-case letters, digits and dashes, as my-iommu`);
  const dir = resolve(options.dir ?? (isCheckout(process.cwd()) ? join('packages', name) : name));
  if (existsSync(dir) && readdirSync(dir).length > 0)
    return fail(`${dir} is there and not empty; choose another --dir`);
  const inCheckout = isCheckout(resolve(dir, '../..'));
  const from = options.from ?? (isCheckout(ROOT) && !inCheckout ? ROOT : undefined);
  let versionOf: (pkg: string) => string;
  try {
    versionOf = versions(from, dir);
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
  const template = join(TEMPLATES, kind);
  const files = readdirSync(template, { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith(SUFFIX))
    .sort();
  for (const file of files) {
    const target = join(dir, file.slice(0, -SUFFIX.length));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, fill(readFileSync(join(template, file), 'utf8'), name, versionOf));
  }
  if (inCheckout) writeFileSync(join(dir, 'tsconfig.json'), workspaceConfig(dir));
  const to = relative(process.cwd(), dir) || '.';
  print(`created ${to}/`);
  for (const file of files) print(`  ${file.slice(0, -SUFFIX.length)}`);
  print('');
  print('It is whole: it builds, and conforms, as it stands. Next:');
  print(`  cd ${to}`);
  print('  npm install');
  print('  npm run build && npm test');
  if (inCheckout)
    print(`and { "path": "packages/${name}" } belongs into the references of tsconfig.json, for builds of everything`);
  else if (from === undefined)
    print('(@doorbell packages that no registry has: give their npm pack tarballs by --from DIR)');
  print('Then make the spec yours, and let the kit tell what does not fit.');
  const guide = isCheckout(ROOT) ? relative(process.cwd(), join(ROOT, GUIDE)) : `${GUIDE} of the Doorbell repository`;
  print(`The plugin guide leads through it: ${guide}`);
  return EXIT.ok;
}

/** `my-iommu` → MyIommu, myIommu, MY_IOMMU. */
function fill(text: string, name: string, versionOf: (pkg: string) => string): string {
  const pascal = name.replace(/(?:^|-)([a-z0-9])/g, (_, c: string) => c.toUpperCase());
  const camel = pascal[0]!.toLowerCase() + pascal.slice(1);
  return text
    .replace(/__version:([a-z-]+)__/g, (_, pkg: string) => versionOf(pkg))
    .replaceAll('__Name__', pascal)
    .replaceAll('__camel__', camel)
    .replaceAll('__NAME__', name.replaceAll('-', '_').toUpperCase())
    .replaceAll('__name__', name);
}

/** What stands in `dependencies` for a core package. Errors: an Error with the sentence for the user. */
function versions(from: string | undefined, dir: string): (pkg: string) => string {
  if (from === undefined) {
    const own = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
    return () => own.version;
  }
  if (!existsSync(from)) throw new Error(`--from ${from}: there is no such directory`);
  const path = (target: string): string => `file:${relative(dir, resolve(target)).replaceAll('\\', '/')}`;
  return (pkg) => {
    const folder = join(from, 'packages', pkg);
    if (existsSync(folder)) return path(folder);
    const tarball = readdirSync(from).find((f) => new RegExp(`^doorbell-${pkg}-\\d.*\\.tgz$`).test(f));
    if (tarball === undefined)
      throw new Error(`--from ${from}: neither packages/${pkg} nor doorbell-${pkg}-*.tgz is there`);
    return path(join(from, tarball));
  };
}

/** Among the packages of a checkout it is built as they are: by references, with the same options. */
function workspaceConfig(dir: string): string {
  const { dependencies, devDependencies, scripts } = JSON.parse(
    readFileSync(join(dir, 'package.json'), 'utf8'),
  ) as Record<string, Record<string, string>>;
  const names = Object.keys({ ...dependencies, ...devDependencies }).filter((d) => d.startsWith('@doorbell/'));
  const references = names.map((d) => ({ path: d.replace('@doorbell/', '../') }));
  const compilerOptions = { rootDir: 'src', outDir: 'dist', tsBuildInfoFile: 'dist/.tsbuildinfo' };
  const manifest = readFileSync(join(dir, 'package.json'), 'utf8');
  writeFileSync(join(dir, 'package.json'), manifest.replace(`"build": "${scripts!['build']}"`, '"build": "tsc -b"'));
  const config = { extends: '../../tsconfig.base.json', compilerOptions, include: ['src'], references };
  // As prettier has it: short lists on one line.
  return `${JSON.stringify(config, null, 2).replace(/\[\s+"src"\s+\]/, '["src"]')}\n`;
}

const isCheckout = (dir: string): boolean => {
  try {
    const { name, workspaces } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Record<string, unknown>;
    return name === 'doorbell' && Array.isArray(workspaces);
  } catch {
    return false;
  }
};
