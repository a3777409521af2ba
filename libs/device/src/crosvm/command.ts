import type { Capabilities } from '../adb/capabilities.ts';
import type { Machine, VmmCommand } from '../host.ts';

/** How many virtual CPUs the owner allows. */
export interface CrosvmOptions {
  cpus?: number;
}

/** Pure. */
export function crosvmCommand(machine: Machine, capabilities: Capabilities, options: CrosvmOptions = {}): VmmCommand {
  _machine: Machine,
  _capabilities: Capabilities,
  _options: CrosvmOptions = {},
): VmmCommand {
  throw new Error(`in work: ${machine.name}, ${capabilities.androidRelease}, ${options.cpus}`);
}
