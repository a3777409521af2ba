import { SovereignError } from '@sovereign/report';
import { settingKinds, type ServiceDefinition } from './definition.ts';

/** Setting name to value, as the owner wrote it. */
export type SettingValues = Readonly<Record<string, string>>;

/**
 * What holds for a service: the owner's values, else the defaults. A setting without either has no value.
 * @throws SovereignError `bad-setting`
 */
export function settingValues(
  definition: Pick<ServiceDefinition, 'name' | 'settings'>,
  own: SettingValues = {},
): SettingValues {
  for (const [name, value] of Object.entries(own)) checkSetting(definition, name, value);
  return Object.fromEntries(
    definition.settings.flatMap(({ name, default: preset }) => {
      const value = own[name] ?? preset;
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** @throws SovereignError `bad-setting` with exit 2 where the service has no such setting, or the value is none for it */
export function checkSetting(
  { name: service, settings }: Pick<ServiceDefinition, 'name' | 'settings'>,
  name: string,
  value: string,
): void {
  const setting = settings.find((known) => known.name === name);
  if (setting === undefined) {
    const known = settings.map((one) => one.name).join(', ');
    throw bad(`${service} has no such setting`, name, known === '' ? 'It has none' : `Settings: ${known}`);
  }
  const { kind, choices } = setting;
  if (choices !== undefined && !choices.includes(value)) {
    throw bad(`${name} is one of ${choices.join(', ')}`, value, setting.description);
  }
  if (!settingKinds[kind].safeParse(value).success) {
    throw bad(`this is no ${kind}, which ${name} has to be`, value, setting.description);
  }
}

/** The services that have to be there for this one, as its settings are. */
export const needsOf = (
  { needs }: Pick<ServiceDefinition, 'needs'>,
  values: SettingValues,
): ServiceDefinition['needs'] =>
  needs.filter(({ when }) => when === undefined || values[when.setting] === when.is);

const bad = (what: string, on: string, hint: string): SovereignError =>
  new SovereignError({ code: 'bad-setting', what, on, hint, exit: 2 });
