import { SovereignError } from '@sovereign/report';
import { checkSetting, type ServiceDefinition, type SettingValues } from '@sovereign/service';
import { changeSettings, deviceSettings } from './device-settings.ts';

/** Setting name to value; undefined takes back what the owner decided, and the default holds again. */
export type SettingChange = Readonly<Record<string, string | undefined>>;

type Settable = Pick<ServiceDefinition, 'name' | 'settings'>;

/**
 * Reads the words `NAME=VALUE` of a command line, `NAME=` taking the value back.
 * @throws SovereignError `bad-setting` with exit 2
 */
export function readSettingChange(definition: Settable, words: readonly string[]): SettingChange {
  const change: Record<string, string | undefined> = {};
  for (const word of words) {
    const [, name, value] = /^([^=]*)=(.*)$/s.exec(word) ?? [];
    if (name === undefined || value === undefined) {
      const what = 'a setting is given as NAME=VALUE, and taken back as NAME=';
      throw new SovereignError({ code: 'bad-setting', what, on: word, exit: 2 });
    }
    if (value !== '') checkSetting(definition, name, value);
    // Also what a release before knew can be taken back.
    change[name] = value === '' ? undefined : value;
  }
  return change;
}

/** What the owner decided for a service on a device, without the defaults. */
export async function ownSettings(deviceId: string | undefined, { name }: Settable): Promise<SettingValues> {
  return (await deviceSettings(deviceId)).services[name] ?? {};
}

/**
 * Keeps what the owner decides for a service; the next deploy brings it to the guest.
 * @throws SovereignError `bad-setting` with exit 2, before anything is written
 */
export async function changeOwnSettings(
  deviceId: string,
  definition: Settable,
  change: SettingChange,
): Promise<SettingValues> {
  for (const [name, value] of Object.entries(change)) {
    if (value !== undefined) checkSetting(definition, name, value);
  }
  const { services } = await changeSettings(deviceId, (before) => {
    const own = Object.entries({ ...before.services[definition.name], ...change }).flatMap(
      ([name, value]): [string, string][] => (value === undefined ? [] : [[name, value]]),
    );
    const others = Object.entries(before.services).filter(([name]) => name !== definition.name);
    const mine: typeof others = own.length === 0 ? [] : [[definition.name, Object.fromEntries(own)]];
    return { services: Object.fromEntries([...others, ...mine]) };
  });
  return services[definition.name] ?? {};
}
