// The arrows of the architecture: bits ← platform ← irqchip ← (pci, iommu) ← (vfio, conformance, back-ends) ← boards;
// firmware, inspect and qemu stand on core; cli, examples and test on all. test/layers plants a violation of each rule.
const backend = '(?:x86|arm|powerpc)-[^/]+';
const pkg = (names) => `^packages/(?:${names})/`;
const src = (names) => `^packages/(?:${names})/src/`;

/** `names` may import its own package and `below`, and no other package of this repository. */
const standsOn = (name, names, below, comment) => ({
  name,
  severity: 'error',
  comment,
  from: { path: `^packages/(${names})/(?:src|bin)/` },
  to: { path: '^packages/', pathNot: ['^packages/$1/', ...(below ? [pkg(below)] : [])] },
});

module.exports = {
  forbidden: [
    standsOn('bits-stands-alone', 'bits', '', 'bits has no dependencies'),
    standsOn('platform-on-bits', 'platform', 'bits', 'platform stands on bits'),
    standsOn('irqchip-on-platform', 'irqchip', 'bits|platform', 'irqchip stands on platform'),
    standsOn(
      'pci-and-iommu-apart',
      'pci|iommu',
      'bits|platform|irqchip',
      'pci and iommu stand on irqchip and never import each other: what both need is a noun of platform',
    ),
    standsOn(
      'clients-on-core',
      'vfio|conformance',
      'bits|platform|irqchip|pci|iommu',
      'the passthrough client and the conformance kit know no back-end',
    ),
    {
      name: 'backend-on-core-and-specs',
      severity: 'error',
      comment: 'a back-end imports core and the /spec entry of another back-end, nothing else',
      from: { path: `^packages/(${backend})/src/` },
      to: {
        path: '^packages/',
        pathNot: ['^packages/$1/', pkg('bits|platform|irqchip|pci|iommu'), `^packages/${backend}/src/spec/index\\.ts$`],
      },
    },
    {
      name: 'tools-name-no-backend',
      severity: 'error',
      comment:
        'plugins contribute to firmware, qemu, inspect and cli through hooks; these name no back-end and no board',
      from: { path: '^packages/(?:firmware|qemu|inspect|cli)/(?:src|bin)/' },
      to: { path: pkg(`${backend}|boards`) },
    },
    {
      name: 'cli-on-top',
      severity: 'error',
      comment: 'no package imports the command line',
      from: { path: '^packages/(?!cli/)[^/]+/src/' },
      to: { path: pkg('cli') },
    },
    {
      name: 'model-reaches-no-driver',
      severity: 'error',
      comment: 'all that passes between model and driver is register accesses and bytes in memory',
      from: { path: '^packages/[^/]+/src/model/' },
      to: { path: '^packages/[^/]+/src/driver/', reachable: true },
    },
    {
      name: 'driver-reaches-no-model',
      severity: 'error',
      comment: 'a driver must run on other hardware',
      from: { path: '^packages/[^/]+/src/driver/' },
      to: { path: '^packages/[^/]+/src/model/', reachable: true },
    },
    {
      name: 'only-plugin-sees-driver',
      severity: 'error',
      comment: 'plugin.ts alone sees model and driver (index.ts re-exports them)',
      from: {
        path: `^packages/(${backend})/src/`,
        pathNot: '^packages/[^/]+/src/(?:driver/|plugin\\.ts$|index\\.ts$)',
      },
      to: { path: '^packages/[^/]+/src/driver/' },
    },
    {
      name: 'not-own-entry',
      severity: 'error',
      comment: 'a file imports its neighbours by their names: through its own entry it would see model and driver',
      from: { path: '^packages/([^/]+)/src/', pathNot: '^packages/[^/]+/src/(?:index|plugin)\\.ts$' },
      to: { path: '^packages/$1/src/index\\.ts$' },
    },
    {
      name: 'spec-on-bits',
      severity: 'error',
      comment: 'a spec is tables: it imports bits and its own files, no package and no builtin',
      from: { path: '^packages/([^/]+)/src/spec/' },
      to: { pathNot: ['^packages/$1/src/spec/', '^packages/bits/src/index\\.ts$'] },
    },
    {
      name: 'core-without-node',
      severity: 'error',
      comment: 'core packages run in a browser once bundled',
      from: { path: src('bits|platform|irqchip|pci|iommu|vfio|conformance') },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-deep-import',
      severity: 'error',
      comment: 'another package is seen through its index or its spec/index',
      from: { path: '^(packages/[^/]+|examples|test)/' },
      to: {
        path: '^packages/[^/]+/(?:src|dist|test)/',
        pathNot: ['^$1/', '^packages/[^/]+/src/(?:spec/)?index\\.ts$'],
      },
    },
    {
      name: 'declared-dependencies',
      severity: 'error',
      comment: 'a package declares the npm packages that its sources import',
      from: { path: '^packages/[^/]+/src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], path: 'node_modules' },
    },
    {
      name: 'no-circular',
      severity: 'error',
      comment: 'no cycle of modules at run time; types of neighbours may name each other, for they are erased',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    { name: 'not-to-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(?:^|/)(?:dist|fixtures|templates)/' },
    // Types count: a type-only import of a model is knowledge of it.
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['@doorbell/source', 'import', 'types', 'node', 'default'],
    },
  },
};
