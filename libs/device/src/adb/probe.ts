import type { Probe } from '../contract.ts';
import type { Capabilities } from './capabilities.ts';

/** Reads what {@link probeScript} printed. Pure. */
export function parseProbe(text: string): Capabilities {
  throw new Error(`in work: ${text.length}`);
}

/** What a person has to know of a phone, each with its evidence. Pure. */
export function probes(capabilities: Capabilities): Probe[] {
  throw new Error(`in work: ${capabilities.androidRelease}`);
}

/** One line that changes when Android, its virtualization module or its VMM does. Pure. */
export function fingerprint(capabilities: Capabilities): string {
  throw new Error(`in work: ${capabilities.androidRelease}`);
}
