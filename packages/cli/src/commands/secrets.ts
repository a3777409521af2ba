import type { Applied } from '@sovereign/device';
import { SovereignError, step } from '@sovereign/report';
import { HEARTBEAT, type FoundService } from '@sovereign/service';
import { askSecret } from '../ask.ts';
import { announce, theService } from '../device.ts';
import { nearest, wordOf } from '../services.ts';
import type { Result, Run } from '../session.ts';

export const listSecrets: Run = async (session) => {
  const { definition } = theService(session);
  const device = await session.devices.pick();
  const secrets = await device.secrets.list(definition);
  const text = secrets
    .map(({ name, description, state, pending }) =>
      [name, state, description, ...(pending ? ['(the guest may still have the one before)'] : [])].join(
        '  ',
      ),
    )
    .join('\n');
  return { json: { device: device.id, service: definition.name, secrets }, text };
};

export const showSecret: Run = async (session) => {
  const service = theService(session);
  const { definition } = service;
  const name = nameOf(service, session.words[0]);
  if (!session.streams.out.isTTY && session.flags.yes !== true) {
    throw new SovereignError({
      code: 'no-terminal',
      what: 'a secret is printed to a terminal; this is none',
      on: name,
      hint: 'Add --yes where that is meant, as in a script',
      exit: 2,
    });
  }
  const device = await session.devices.pick();
  const value = await device.secret(definition, name);
  return { json: { device: device.id, service: definition.name, name, value }, text: value };
};

export const setSecret: Run = async (session) => {
  const service = theService(session);
  const { definition } = service;
  const name = nameOf(service, session.words[0]);
  const device = await session.devices.pick();
  if (session.flags.dryRun === true) return planned(`set ${name} of ${wordOf(service)} on ${device.id}`);
  announce(device);
  const value = await askSecret(session, 'new value');
  const applied = await step(`set ${name}`, () => device.secrets.set(definition, name, value));
  return {
    json: { device: device.id, service: definition.name, name, applied },
    text: `${name} is set; ${who(service, applied)}`,
  };
};

export const rotateSecrets: Run = async (session) => {
  const service = theService(session);
  const { definition } = service;
  const [word] = session.words;
  const name = word === undefined ? undefined : nameOf(service, word);
  const device = await session.devices.pick();
  if (session.flags.dryRun === true) {
    return planned(`rotate ${name ?? 'every secret'} of ${wordOf(service)} on ${device.id}`);
  }
  announce(device);
  const report = await step('rotate', () => device.secrets.rotate(definition, name));
  const { rotated, finished, applied } = report;
  const lines = [
    ...(rotated.length === 0 ? [] : [`new value: ${rotated.join(', ')}`]),
    ...(finished.length === 0 ? [] : [`begun before, with the value of then: ${finished.join(', ')}`]),
    rotated.length + finished.length === 0
      ? `${wordOf(service)} has no secret that is made`
      : who(service, applied),
  ];
  return { json: { device: device.id, service: definition.name, ...report }, text: lines.join('\n') };
};

/** Who has the new value now. */
function who(service: FoundService, applied: Applied): string {
  const word = wordOf(service);
  return {
    live: `${word} goes on with it`,
    restarted: `${word} was restarted with it`,
    'next-start': `${word} takes it at its next start`,
    'not-deployed': `${word} takes it when it is deployed`,
  }[applied];
}

/** @throws SovereignError `unknown-secret` with exit 2 */
function nameOf(service: FoundService, word: string | undefined): string {
  const names = service.definition.secrets.map(({ name }) => name);
  const own = names.filter((known) => known !== HEARTBEAT);
  const name = word ?? (own.length === 1 ? own[0] : undefined);
  if (name !== undefined && names.includes(name)) return name;
  const near = name === undefined ? undefined : nearest(name, names);
  throw new SovereignError({
    code: 'unknown-secret',
    what: name === undefined ? 'say which secret is meant' : `${wordOf(service)} has no such secret`,
    on: name,
    hint: near === undefined ? `Secrets: ${names.join(', ')}` : `Did you mean ${near}?`,
    exit: 2,
  });
}

const planned = (line: string): Result => ({ json: { plan: [line] }, text: line });
