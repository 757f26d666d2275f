import tseslint from 'typescript-eslint';

const core = ['bits', 'platform', 'irqchip', 'pci', 'iommu', 'vfio', 'conformance'];
const nodeGlobals = ['process', 'Buffer', 'global', 'setImmediate', 'require', '__dirname', '__filename'];

export default tseslint.config(
  {
    ignores: [
      '**/dist/**',
      '**/node_modules/**',
      '**/.cache/**',
      '.nx/**',
      'coverage/**',
      'docs/api/**',
      '**/templates/**',
    ],
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      // One program for everything: twenty projects took several times as long.
      parserOptions: { project: './test/tsconfig.json', tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-warning-comments': ['error', { terms: ['todo', 'fixme'], location: 'anywhere' }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', caughtErrors: 'none' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // An import of inline types only stays in the output, as an import for its side effects.
      '@typescript-eslint/no-import-type-side-effects': 'error',
      // Contracts are promises even where one implementation has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['packages/*/src/**/*.ts'],
    rules: {
      'max-lines': ['error', { max: 450, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/no-floating-promises': 'error',
    },
  },
  {
    files: core.map((name) => `packages/${name}/src/**/*.ts`),
    rules: {
      'no-restricted-globals': [
        'error',
        ...nodeGlobals.map((name) => ({ name, message: 'core packages run in a browser' })),
      ],
    },
  },
  {
    files: ['packages/*/test/**/*.ts', 'test/**/*.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'MemberExpression[object.name=/^(it|test|describe)$/][property.name=/^(only|skip|todo)$/]',
          message: 'a test runs, or is skipped loudly by skipIf with the reason printed',
        },
      ],
    },
  },
);
