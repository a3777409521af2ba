export type {
  Bundle,
  DeployOptions,
  DeployReport,
  Device,
  Endpoint,
  Inventory,
  LogOptions,
  Probe,
  ServiceState,
  ServiceStatus,
  SshTarget,
} from './contract.ts';
export { listDevices, localDevice, selectDevice, usedDevices, type DeviceChoice } from './select.ts';
export { execInGuest, sshArgs, type ExecOptions, type ExecResult } from './ssh.ts';
export { bundleAgent } from './agent-bundle.ts';
export { findProgram, findQemu, type Qemu } from './local/find-qemu.ts';
export { toArgs as qemuArgs } from './local/qemu.ts';
export type { Machine } from './host.ts';
export { readBundle } from './bundle.ts';
export { GVPROXY_CONFIG, gvproxyConfig } from './network/gvproxy.ts';
