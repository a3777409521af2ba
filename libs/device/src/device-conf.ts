import type { DeviceSettings, Host } from './host.ts';
import type { NetworkPlan } from './network/guest.ts';

interface DeviceConf extends DeviceSettings {
  kind: Host['kind'];
  network: NetworkPlan['mode'];
  /** Digest of the stored gvproxy, where guests are networked over vsock. */
  gvproxy: string | undefined;
}

/** `device.conf` (docs/formats.md, "Device"): what the launcher has to know of a device, whatever it runs. Pure. */
export function deviceConf({ kind, network, gvproxy, reserve, awake, hook }: DeviceConf): string {
  const lines: [key: string, value: string | number][] = [
    ['schema', 1],
    ['kind', kind],
    ['network', network],
    ...(gvproxy === undefined ? [] : [['gvproxy', gvproxy] as [string, string]]),
    ['reserve', reserve],
    ['awake', awake ? 'yes' : 'no'],
    ...(hook === undefined ? [] : [['hook', hook] as [string, string]]),
  ];
  return lines.map(([key, value]) => `${key} ${value}\n`).join('');
}

/** The network in the text of a `device.conf`; undefined where it names none. */
export const networkInConf = (text: string): string | undefined => /^network (\w+)$/m.exec(text)?.[1];
