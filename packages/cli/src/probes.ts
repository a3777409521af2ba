import type { Device, Probe } from '@sovereign/device';
import { toSovereignError } from '@sovereign/report';

/** What a device can do; that it cannot be asked is an answer too. */
export async function probeDevice(device: Device): Promise<Probe[]> {
  try {
    return await device.probe();
  } catch (thrown) {
    const { what, hint } = toSovereignError(thrown);
    return [{ name: 'reachable', ok: false, evidence: what, ...(hint === undefined ? {} : { cure: hint }) }];
  }
}

export function probeLine({ name, ok, evidence, cure }: Probe): string {
  const line = `${ok ? 'ok     ' : 'missing'} ${name}: ${evidence}`;
  return ok || cure === undefined ? line : `${line}\n          ${cure}`;
}
