export type {
  Applied,
  Bundle,
  DeployOptions,
  DeployReport,
  Device,
  DeviceNotify,
  DeviceSecrets,
  DeviceTailnet,
  Endpoint,
  Inventory,
  LogOptions,
  Migration,
  NotifyKind,
  Reminder,
  ResizeReport,
  RotateReport,
  SecretState,
  ServiceState,
  ServiceStatus,
  SshTarget,
} from './contract.ts';
export type { Machine, Probe } from './host.ts';
export { knownDevices } from './device-settings.ts';
export { listDevices, localDevice, selectDevice, usedDevices, type DeviceChoice } from './select.ts';
export { execInGuest, remoteCommand, sshArgs, type ExecOptions, type ExecResult } from './ssh.ts';
export { deviceConfigDir, makePrivateFolder } from './secrets.ts';
export { notDeployed } from './not-deployed.ts';
export { bundleAgent } from './agent-bundle.ts';
export { findProgram, findQemu, type Qemu } from './local/find-qemu.ts';
export { toArgs as qemuArgs } from './local/qemu.ts';
export { readBundle } from './bundle.ts';
export type { Inspection, Inspector } from './inspect.ts';
export { GVPROXY_CONFIG, gvproxyConfig } from './network/gvproxy.ts';
export { notifyKinds } from './notify.ts';
export {
  checkKey,
  readTailnetChange,
  readTailnetKey,
  type TailnetChange,
  type TailnetWords,
} from './tailnet/change.ts';
export { tailnetHostname, wantsTailnet } from './tailnet/guest.ts';
export { nodeMoved } from './tailnet/store.ts';
export { describeSize, parseSize } from './resize.ts';
export { sameServer, type TailnetSettings } from './tailnet/settings.ts';
export { endsSoon, HTTPS_PAGE, parseHttps, type HttpsStatus, type TailnetStatus } from './tailnet/state.ts';
export { compareKit, importKit, kitFiles, openKit, sealKit, type KitFiles } from './recovery-kit.ts';
export { readSettingChange, type SettingChange } from './service-settings.ts';
