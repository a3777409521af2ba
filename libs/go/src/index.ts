export {
  buildPrograms,
  compilePrograms,
  lockModule,
  runModuleTool,
  testPackage,
  type GoBuild,
  type GoProgram,
} from './programs.ts';
export {
  bootstrapLockPath,
  bootstrapRequest,
  lockToolchain,
  openToolchain,
  readToolchainLock,
  toolchainLockPath,
  TOOLCHAIN,
  type Toolchain,
  type ToolchainLock,
} from './toolchain.ts';
