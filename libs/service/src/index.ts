export {
  bases,
  defineService,
  guestAddress,
  guestMac,
  DISK,
  HEARTBEAT,
  NET_INDEX,
  serviceSchema,
  type Base,
  type ServiceDefinition,
} from './definition.ts';
export { manifestSchema, readManifest, writeManifest, type Manifest, type ManifestOf } from './manifest.ts';
export {
  CONFIG_SCHEMA,
  CONTROL_PROTOCOL,
  makeRelease,
  dataFormat,
  differentData,
  releaseId,
  releaseSchema,
  type BuiltArtifacts,
  type NewRelease,
  type Release,
} from './release.ts';
export { startOrder } from './order.ts';
export { checkSetting, needsOf, settingValues, type SettingValues } from './settings.ts';
export { findServices, loadService, type FoundService } from './find.ts';
export { tailnetRulesFault } from './tailnet-rules.ts';
export { guestUnits, serviceFiles, type GuestFile } from './guest-files.ts';
