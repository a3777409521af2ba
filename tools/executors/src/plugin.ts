import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createNodesFromFiles, type CreateNodes, type TargetConfiguration } from '@nx/devkit';

/** Gives every project that has TypeScript sources the targets `lint` and `test`. */
export const createNodes: CreateNodes = [
  '{libs,packages,tools}/*/package.json',
  (files, _options, context) =>
    createNodesFromFiles(
      (file) => targetsOf(dirname(file), context.workspaceRoot),
      files,
      undefined,
      context,
    ),
];

function targetsOf(root: string, workspace: string): { projects?: Record<string, object> } {
  if (!existsSync(join(workspace, root, 'tsconfig.json'))) return {};
  return { projects: { [root]: { targets: { lint: lint(root), test: test(root) } } } };
}

function lint(root: string): TargetConfiguration {
  return {
    command: `eslint ${root}`,
    cache: true,
    inputs: [
      'default',
      '{workspaceRoot}/eslint.config.js',
      { externalDependencies: ['eslint', '@eslint/js', 'typescript-eslint'] },
    ],
    metadata: { description: 'Checks the style and the direction of imports with ESLint' },
  };
}

function test(root: string): TargetConfiguration {
  return {
    command: `vitest run --root ${root} --config vitest.config.ts`,
    cache: true,
    outputs: ['{projectRoot}/dist/test-results.json'],
    inputs: [
      'default',
      '^sources',
      '{workspaceRoot}/vitest.config.ts',
      { externalDependencies: ['vitest', 'vite'] },
    ],
    metadata: { description: 'Runs the unit tests with Vitest; boots nothing' },
  };
}
