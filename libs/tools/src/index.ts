export { hostArch, mountPoints, openToolRoot, toolLockPath, toolRequest, type ToolRoot } from './root.ts';
export type { Bind, RunOptions } from './enter.ts';
export type { HostArch } from './packages.ts';
