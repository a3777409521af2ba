import { SovereignError } from '@sovereign/report';
import { configPath, readConfigDisk } from './config-disk.ts';
import { isHash } from './delivered.ts';
import { changeSettings, rememberDevice } from './device-settings.ts';
import type { Host } from './host.ts';
import { readIdentity } from './identity.ts';
import { adoptSecrets, knownSecrets } from './secrets.ts';
import { adoptHostKey, knowsHostKey } from './ssh-keys.ts';
import { CA_ON_DISK, KEY_ON_DISK, tailnetHostname } from './tailnet/guest.ts';
import { isDeviceName, type TailnetSettings } from './tailnet/settings.ts';
import { storeCa, storeKey } from './tailnet/store.ts';

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
  // All of them are read before anything is written: the device may go away in between.
  const disks: [service: string, files: ReadonlyMap<string, string>][] = [];
  for (const service of await host.list('services')) {
    const disk = await host.read(configPath(service));
    if (disk !== undefined) disks.push([service, await readConfigDisk(disk)]);
  }
  const adopted: string[] = [];
  for (const [service, files] of disks) {
    const secrets = secretsOn(files);
    const known = (await knownSecrets(identity.id, service)).values;
    const all = Object.keys(secrets).every((name) => known[name] !== undefined);
    if (all && knowsHostKey(identity.id, service)) continue;
    await adoptSettings(identity.id, service, files);
    await adoptTailnet(identity.id, service, files);
    const hostKey = files.get('ssh/host_ed25519_key');
    if (hostKey !== undefined) await adoptHostKey(identity.id, service, hostKey);
    await adoptSecrets(identity.id, service, secrets);
    adopted.push(service);
  }
  if (host.kind === 'adb') await rememberDevice(identity.id, { serial: host.id });
  return adopted;
}

/** The service's own secrets on its config disk, by name. */
function secretsOn(files: ReadonlyMap<string, string>): Record<string, string> {
  const secrets = [...files].flatMap(([path, content]) => {
    const name = /^secrets\/(.+)$/.exec(path)?.[1];
    const value = content.replace(/\n$/, '');
    // Of what the guest has only a hash, a new secret is made.
    return name === undefined || path === KEY_ON_DISK || isHash(value) ? [] : [[name, value] as const];
  });
  return Object.fromEntries(secrets);
}

/** Takes over what the owner decided of a service. */
async function adoptSettings(
  deviceId: string,
  service: string,
  files: ReadonlyMap<string, string>,
): Promise<void> {
  const values = [...(files.get('guest.conf') ?? '').matchAll(/^setting (\S+) (.*)$/gm)];
  if (values.length === 0) return;
  const decided = Object.fromEntries(values.map(([, name = '', value = '']) => [name, value]));
  await changeSettings(deviceId, ({ services }) => ({ services: { ...services, [service]: decided } }));
}

/** Takes over how a service is reached in the tailnet, so that the next deploy leaves its node as it is. */
async function adoptTailnet(
  deviceId: string,
  service: string,
  files: ReadonlyMap<string, string>,
): Promise<void> {
  const conf = new Map(
    (files.get('guest.conf') ?? '').split('\n').map((line) => {
      const [key = '', ...words] = line.split(' ');
      return [key, words.join(' ')] as const;
    }),
  );
  const hostname = conf.get('tailnet-hostname');
  if (conf.get('tailnet') !== 'yes' || hostname === undefined) return;
  const [key, ca] = [files.get(KEY_ON_DISK), files.get(CA_ON_DISK)];
  if (key !== undefined) await storeKey(deviceId, key);
  if (ca !== undefined) await storeCa(deviceId, ca);
  await changeSettings(deviceId, ({ tailnet: before }) => {
    const server = conf.get('tailnet-server');
    const tags = conf.get('tailnet-tags')?.split(',');
    const own = hostname.startsWith(`${service}-`) ? hostname.slice(service.length + 1) : '';
    const tailnet: TailnetSettings = {
      ...before,
      ...(server === undefined ? {} : { server }),
      ...(tags === undefined ? {} : { tags }),
      ...(before?.name === undefined && isDeviceName(own) ? { name: own } : {}),
      // Without a key on its disk a node is logged in, or was never to be by a key.
      nodes: { ...before?.nodes, [service]: key === undefined ? { id: '', name: hostname } : null },
    };
    const hostnames = { ...before?.hostnames, [service]: hostname };
    return { tailnet: tailnetHostname(service, tailnet) === hostname ? tailnet : { ...tailnet, hostnames } };
  });
}
