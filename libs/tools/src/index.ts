export {
  hostArch,
  openContainers,
  openToolRoot,
  toolLockPath,
  toolRequest,
  type ContainerTools,
  type ToolRoot,
} from './root.ts';
export { runApart, type Apart } from './apart.ts';
export type { ContainerOptions } from './docker/container.ts';
export { mountPoints } from './tree.ts';
export { toolWay, toolWays, TOOLS_VARIABLE, type ToolWay } from './setting.ts';
export type { Bind, RunOptions } from './run.ts';
export type { HostArch } from './packages.ts';
