export { layerNames, type LayerName } from './contract.ts';
export { diagnose, type DiagnoseOptions, type Diagnosis, type LayerResult } from './diagnose.ts';
export type { Target } from './outside.ts';
