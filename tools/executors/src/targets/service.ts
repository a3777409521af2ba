import type { TargetConfiguration } from '@nx/devkit';
import { runIn } from './checks.ts';

/** Both bases as configurations of one target: `nx run rootfs-sql:build:debian`. */
const baseConfigurations = { alpine: { base: 'alpine' }, debian: { base: 'debian' } };

/** What a release is made of. */
const artifacts = ['build', { projects: ['kernel', 'device-agent', 'network'], target: 'build' }];

/** What is left of them where there is no image; its `test` is then that of every project, which boots nothing. */
export const withoutImage = ({
  lock,
}: Record<string, TargetConfiguration>): Record<string, TargetConfiguration> =>
  lock === undefined ? {} : { lock };

/** The targets of a folder with a service.config.ts. */
export function serviceTargets(root: string): Record<string, TargetConfiguration> {
  return {
    lock: {
      executor: '@sovereign/executors:rootfs-lock',
      configurations: baseConfigurations,
      cache: false,
      metadata: { description: 'Pins every package of the image by version, path, size and digest' },
    },
    build: {
      executor: '@sovereign/executors:rootfs-build',
      configurations: baseConfigurations,
      // A program of it is part of the image.
      dependsOn: [{ projects: ['network'], target: 'build' }],
      cache: true,
      inputs: [
        { dependentTasksOutputFiles: '**/manifest.json' },
        '{projectRoot}/service.config.ts',
        '{projectRoot}/overlay/**/*',
        '{projectRoot}/*.lock.json',
        'guest',
        'executorShared',
        'toolLock',
        'base',
        'apko',
        // Git ignores it, and with it Nx: what a lock against other keys than Alpine's own is called.
        { runtime: `cat ${root}/alpine.local.lock.json 2>/dev/null || true` },
        { env: 'SOVEREIGN_ALPINE_KEYS' },
        '{workspaceRoot}/libs/{rootfs,sbom,service}/src/**/*',
        '{workspaceRoot}/tools/executors/src/rootfs-build/**/*',
      ],
      outputs: [
        '{projectRoot}/dist/root.erofs',
        '{projectRoot}/dist/root.spdx.json',
        '{projectRoot}/dist/root.contents.json',
        '{projectRoot}/dist/manifest.json',
      ],
      metadata: {
        description: 'Makes the read-only disk image: packages, overlay and definition in one EROFS',
      },
    },
    deploy: {
      executor: '@sovereign/executors:deploy',
      configurations: baseConfigurations,
      dependsOn: artifacts,
      cache: false,
      parallelism: false,
      metadata: { description: 'Puts the release on a device; sends only what the device lacks' },
    },
    start: {
      executor: '@sovereign/executors:start',
      configurations: baseConfigurations,
      cache: false,
      parallelism: false,
      metadata: { description: 'Starts the service on a device and waits until it is healthy' },
    },
    stop: {
      executor: '@sovereign/executors:stop',
      cache: false,
      parallelism: false,
      metadata: { description: 'Stops the service on a device cleanly; keeps everything' },
    },
    verify: {
      executor: '@sovereign/executors:verify',
      cache: false,
      parallelism: false,
      metadata: { description: 'Runs the live checks against the running service' },
    },
    test: {
      ...runIn(root, 'vitest run --config ../../vitest.boot.config.ts'),
      configurations: { alpine: {}, debian: {} },
      dependsOn: artifacts,
      cache: true,
      parallelism: false,
      inputs: [
        '{projectRoot}/service.config.ts',
        '{projectRoot}/test/**/*',
        '{workspaceRoot}/vitest.boot.config.ts',
        '{workspaceRoot}/libs/{backup,base,checks,device,diagnose,go,report,rootfs,sbom,service,store,tools}/src/**/*',
        'guest',
        'apko',
        '!{workspaceRoot}/libs/**/*.test.ts',
        { dependentTasksOutputFiles: '**/manifest.json' },
        // How often the machine is killed: more in a long run.
        { env: 'SOVEREIGN_LONG' },
        { externalDependencies: ['vitest', 'vite', 'pg', 'execa'] },
      ],
      outputs: ['{projectRoot}/dist/test-results.json'],
      metadata: { description: 'Boots the image in a virtual machine of its own and runs every check' },
    },
  };
}
