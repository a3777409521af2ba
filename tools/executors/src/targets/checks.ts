import type { TargetConfiguration } from '@nx/devkit';

/** What every project with sources is checked by. `typecheck` comes from @nx/js/typescript. */
export function checkTargets(root: string): Record<string, TargetConfiguration> {
  return {
    lint: {
      command: `eslint --max-warnings 0 ${root}`,
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
      command: `vitest run --root ${root} --config vitest.config.ts`,
      cache: true,
      inputs: [
        'default',
        '^sources',
        '{workspaceRoot}/vitest.config.ts',
        { externalDependencies: ['vitest', 'vite'] },
      ],
      metadata: { description: 'Runs the unit tests with Vitest; boots nothing' },
    },
  };
}
