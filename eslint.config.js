import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/**
 * Imports point one way: cli and the executors reach for libs, libs never for them, and within libs only along
 * the arrows below. docs/architecture.md draws the same picture.
 */
const arrows = {
  'libs/report': [],
  'libs/store': ['report'],
  'libs/service': ['report', 'store'],
  'libs/base': ['report', 'store'],
  'libs/tools': ['base', 'report', 'store'],
  'libs/go': ['base', 'report', 'store', 'tools'],
  'libs/rootfs': ['base', 'report', 'service', 'store', 'tools'],
  'libs/sbom': ['base', 'report', 'rootfs', 'service', 'store'],
  'libs/kernel': ['base', 'report', 'service', 'store', 'tools'],
  'libs/device': ['report', 'service', 'store'],
  'libs/backup': ['device', 'go', 'report', 'service', 'store', 'tools'],
  'libs/checks': ['device', 'report', 'service', 'store'],
  'libs/diagnose': ['checks', 'device', 'report', 'service'],
};

const direction = Object.entries(arrows).map(([folder, allowed]) => {
  return {
    files: [`${folder}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              // What is not named is refused; so is the way around by a path out of the library.
              group: ['@sovereign/*', ...allowed.map((name) => `!@sovereign/${name}`), '../../../*'],
              message: 'Imports point one way; see "arrows" in eslint.config.js.',
            },
            { group: ['nx', 'nx/*', '@nx/*'], message: 'Libraries know nothing of Nx.' },
          ],
        },
      ],
    },
  };
});

export default tseslint.config(
  { ignores: ['**/dist/', '**/node_modules/', '.nx/'] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
    },
  },
  { files: ['**/*.js'], ...tseslint.configs.disableTypeChecked },
  {
    files: ['packages/cli/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ group: ['@sovereign/executors'], message: 'The command line composes Nx runs.' }] },
      ],
    },
  },
  ...direction,
);
