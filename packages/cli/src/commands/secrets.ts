import { SovereignError } from '@sovereign/report';
import { theService } from '../device.ts';
import { nearest, wordOf } from '../services.ts';
import type { Run } from '../session.ts';

export const listSecrets: Run = (session) => {
  const { definition } = theService(session);
  const secrets = definition.secrets.map(({ name, description }) => ({ name, description }));
  const text = secrets.map(({ name, description }) => `${name}  ${description}`).join('\n');
  return Promise.resolve({ json: { service: definition.name, secrets }, text });
};

export const showSecret: Run = async (session) => {
  const service = theService(session);
  const { definition } = service;
  const names = definition.secrets.map(({ name }) => name);
  const [word] = session.words;
  const name = word ?? (names.length === 1 ? names[0] : undefined);
  if (name === undefined || !names.includes(name)) {
    const near = name === undefined ? undefined : nearest(name, names);
    throw new SovereignError({
      code: 'unknown-secret',
      what: name === undefined ? 'say which secret is meant' : `${wordOf(service)} has no such secret`,
      on: name,
      hint: near === undefined ? `Secrets: ${names.join(', ')}` : `Did you mean ${near}?`,
      exit: 2,
    });
  }
  const device = await session.devices.pick();
  const value = await device.secret(definition, name);
  return { json: { device: device.id, service: definition.name, name, value }, text: value };
};
