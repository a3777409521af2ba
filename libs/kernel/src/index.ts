export { configLine, diffConfig, parseConfig, type KernelConfig } from './config.ts';
export { readFragments, joinFragments, type ConfigRequest, type Fragments } from './fragments.ts';
export { assertConfig, checkConfig, staleExceptions, type Exception, type Problem } from './check.ts';
export { readAllowed } from './allow.ts';
export { parseKconfig, readKconfig } from './kconfig.ts';
export { checkImage } from './image.ts';
export {
  chooseOrigin,
  describeSource,
  readSourceLock,
  refreshSourceLock,
  type KnownSource,
  type SourceLock,
  type SourceOrigin,
} from './source-lock.ts';
export { kernelSource, type KernelSource } from './source.ts';
export { baseTargets, configure, makeConfig } from './configure.ts';
export { build, compileTargets, imageKey, type BuiltKernel } from './build.ts';
export { menuconfig } from './menuconfig.ts';
export type { ToolRunner } from './runner.ts';
