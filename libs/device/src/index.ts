export type {
  Bundle,
  DeployReport,
  Device,
  Endpoint,
  LogOptions,
  Probe,
  ServiceState,
  ServiceStatus,
  SshTarget,
} from './contract.ts';
