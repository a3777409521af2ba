export { hostArch, openToolRoot, toolLockPath, toolRequest, type ToolRoot } from './root.ts';
export { mountPoints } from './tree.ts';
export { toolWay, toolWays, TOOLS_VARIABLE, type ToolWay } from './setting.ts';
export type { Bind, RunOptions } from './run.ts';
export type { HostArch } from './packages.ts';
