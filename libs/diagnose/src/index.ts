export { layerNames, type LayerName } from './contract.ts';
export {
  diagnose,
  diagnoseScene,
  type DiagnoseOptions,
  type Diagnosis,
  type LayerResult,
} from './diagnose.ts';
export { thisWorkstation, type Target, type Workstation } from './outside.ts';
export { Scene } from './scene.ts';
