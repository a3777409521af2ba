import type { TargetConfiguration } from '@nx/devkit';

/** What every project with sources is checked by. `typecheck` comes from @nx/js/typescript. */
export function checkTargets(root: string): Record<string, TargetConfiguration> {
  return {
    lint: {
      ...runIn(root, 'eslint --max-warnings 0 .'),
      cache: true,
      inputs: [
        'default',
        '^sources',
        '{workspaceRoot}/eslint.config.js',
        { externalDependencies: ['eslint', '@eslint/js', 'typescript-eslint'] },
      ],
      metadata: { description: 'Checks the style and the direction of imports with ESLint' },
    },
    test: {
      ...runIn(root, 'vitest run --config ../../vitest.config.ts'),
      cache: true,
      inputs: [
        'default',
        '^sources',
        '{workspaceRoot}/vitest.config.ts',
        { externalDependencies: ['vitest', 'vite'] },
      ],
      outputs: ['{projectRoot}/dist/test-results.json'],
      metadata: { description: 'Runs the unit tests with Vitest; boots nothing' },
    },
  };
}

/** A target that runs one obvious program in the project's folder. */
export const runIn = (cwd: string, command: string): TargetConfiguration => ({
  executor: 'nx:run-commands',
  options: { cwd, command },
});
