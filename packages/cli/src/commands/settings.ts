import type { FoundService } from '@sovereign/service';
import { announce, deviceLibrary, theService } from '../device.ts';
import { wordOf } from '../services.ts';
import type { Result, Run } from '../session.ts';

export const settings: Run = async (session) => {
  const service = theService(session);
  const { definition } = service;
  const { words, flags } = session;
  const change = (await deviceLibrary()).readSettingChange(definition, words);
  const device = await session.devices.pick();
  if (words.length === 0) return shown(device.id, service, await device.settings(definition));
  const word = wordOf(service);
  if (flags.dryRun === true) {
    const plan = words.map((given) => `set ${given} of ${word} on ${device.id}`);
    return { json: { plan }, text: plan.join('\n') };
  }
  announce(device);
  const { json, text = '' } = shown(device.id, service, await device.changeSettings(definition, change));
  const next = `the next sovereign up ${word}, or deploy ${word}, brings this to the service`;
  return { json, text: `${text}\n\n${next}` };
};

/** Every setting with what holds, and whose word that is. */
function shown(device: string, { definition }: FoundService, own: Readonly<Record<string, string>>): Result {
  const list = definition.settings.map(({ name, description, kind, choices, default: preset }) => ({
    name,
    value: own[name] ?? preset ?? null,
    default: preset ?? null,
    own: own[name] !== undefined,
    kind,
    ...(choices === undefined ? {} : { choices }),
    description,
  }));
  const width = Math.max(0, ...list.map(({ name }) => name.length));
  const lines = list.map(({ name, value, own: mine, choices, description }) => {
    const said = value === null ? '(not set)' : mine ? value : `${value} (default)`;
    const among = choices === undefined ? '' : `: ${choices.join(' or ')}`;
    return `${name.padEnd(width)}  ${said}\n${''.padEnd(width)}  ${description}${among}`;
  });
  return {
    json: { device, service: definition.name, settings: list },
    text: lines.length === 0 ? `${definition.title} has no settings` : lines.join('\n'),
  };
}
