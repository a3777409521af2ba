import { SovereignError } from '@sovereign/report';
import { readConfigDisk } from './config-disk.ts';
import { rememberDevice } from './device-settings.ts';
import type { Host } from './host.ts';
import { readIdentity } from './identity.ts';
import { adoptSecrets, knowsSecrets } from './secrets.ts';
import { adoptHostKey } from './ssh-keys.ts';

/**
 * Reads a device's secrets and host keys back from its config disks, for a workstation that did not set it up. The
 * owner's own key is on no device: this workstation has another one, which the next deploy lets in.
 * @returns the services that were taken over
 * @throws SovereignError `nothing-to-adopt` where nobody ever deployed to the device
 */
export async function adopt(host: Host): Promise<string[]> {
  const identity = await readIdentity(host);
  if (identity === undefined) {
    throw new SovereignError({
      code: 'nothing-to-adopt',
      what: 'nobody ever deployed to this device',
      on: host.id,
      hint: `Run sovereign up -s ${host.id} to begin`,
    });
  }
  if (knowsSecrets(identity.id)) return [];
  const adopted: string[] = [];
  for (const service of await host.list('services')) {
    const disk = await host.read(`services/${service}/config.img`);
    if (disk === undefined) continue;
    const files = await readConfigDisk(disk);
    const secrets = [...files].flatMap(([path, content]) => {
      const name = /^secrets\/(.+)$/.exec(path)?.[1];
      return name === undefined ? [] : [[name, content.replace(/\n$/, '')] as const];
    });
    const hostKey = files.get('ssh/host_ed25519_key');
    if (hostKey !== undefined) await adoptHostKey(identity.id, service, hostKey);
    await adoptSecrets(identity.id, service, Object.fromEntries(secrets));
    adopted.push(service);
  }
  if (host.kind === 'adb') await rememberDevice(identity.id, { serial: host.id });
  return adopted;
}
