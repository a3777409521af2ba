import { hostArch, openContainers, toolWay, type HostArch, type ToolWay } from '@sovereign/tools';
import { containedGo } from './contained.ts';
import { localGo, type GoRunner } from './go.ts';

/** Where Go runs, in the way that is set for the build tools. The bytes that come of it are the same. */
export interface GoWay {
  /** What runs there, which is not this machine's kind with an engine of another. */
  arch: HostArch;
  run: GoRunner;
}

export async function openGoWay(way: ToolWay = toolWay()): Promise<GoWay> {
  if (way === 'root') return { arch: hostArch(), run: localGo };
  const tools = await openContainers();
  return { arch: tools.arch, run: containedGo(tools) };
}
