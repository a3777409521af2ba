import type { Device } from '@sovereign/device';
import { note } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { affectedServices } from '../affected.ts';
import { consentTo, phoneOptions } from '../consent.ts';
import { announce } from '../device.ts';
import { askForOwners, inviteOwners } from '../invitation.ts';
import { runRefreshing } from '../locks.ts';
import { withNeeded } from '../needed.ts';
import { servicesOnBase } from '../on-base.ts';
import { wordOf } from '../services.ts';
import type { Run } from '../session.ts';
import { statusDocument, type StatusDocument } from '../status-document.ts';
import { withTailnet } from '../tailnet-flags.ts';
import { joinTailnet } from '../tailnet-join.ts';
import { describeTailnet } from '../tailnet-text.ts';
import { nothingAffected, nxRun, plan } from './build.ts';
import { startAndWait } from './lifecycle.ts';

/** Once a device, when there is something to lose. */
const OFFER =
  'its secrets are on this machine alone: ./sovereign secrets export FILE makes an encrypted copy to keep elsewhere';

export const up: Run = async (session) => {
  const asked = await servicesOnBase(session, await affectedServices(session));
  if (asked.length === 0) return nothingAffected;
  const device = await session.devices.pick();
  const services = await withNeeded(session, device, asked);
  if (session.flags.dryRun !== true) await askForOwners(session, device, services);
  return withTailnet(session, device, async (tailnet, key) => {
    const options = { device: device.id, ...phoneOptions(session), ...tailnet };
    const run = await nxRun(session, services, ['deploy'], options);
    if (session.flags.dryRun === true) {
      return plan(
        [run],
        services.map((service) => `start ${wordOf(service)} on ${device.id} and wait for health`),
      );
    }
    announce(device);
    const env = await consentTo(session, device);
    const first = (await device.inventory()).id === undefined;
    const before = await device.status(services.map(({ definition }) => definition));
    await runRefreshing(session, { ...run, env });
    for (const service of services) {
      await startAndWait(session, device, service, await session.devices.built(service));
    }
    const ran = new Map(before.map((status) => [status.name, status]));
    await joinTailnet(session, device, services, ran, key);
    const invitations = await inviteOwners(device, services);
    if (first) note(OFFER);
    const document = await statusDocument([device], services);
    return { json: document, text: [howToConnect(device, services, document), ...invitations].join('\n') };
  });
};

/** Those that are made and that a person types: not the password of a role that the service has on another one. */
function secretsToKnow({ definition: { secrets, needs } }: FoundService) {
  const between = needs.map(({ database }) => database?.secret);
  return secrets.filter(({ name, make }) => make !== 'owner' && !between.includes(name));
}

/** What to do next, without a password in it. */
export function howToConnect(
  { id }: Pick<Device, 'id'>,
  services: readonly FoundService[],
  { devices }: StatusDocument,
): string {
  const states = devices.flatMap((device) => device.services);
  return services
    .flatMap((service) => {
      const word = wordOf(service);
      const state = states.find(({ name }) => name === service.definition.name);
      const { endpoints = [], tailnet } = state ?? {};
      return [
        `${word} is healthy on ${id}`,
        ...endpoints.map(({ name, url, via }) => `  ${(via ?? name).padEnd(10)} ${url}`),
        ...(tailnet === undefined || tailnet.state === 'running'
          ? []
          : [
              `  ${'tailnet'.padEnd(10)} ${describeTailnet(tailnet)}`,
              `  ${''.padEnd(10)} ./sovereign tailnet status ${word} tells more`,
            ]),
        `  ${'open it'.padEnd(10)} ./sovereign connect ${word}`,
        ...secretsToKnow(service).map(
          (secret) => `  ${'password'.padEnd(10)} ./sovereign secrets show ${word} ${secret.name}`,
        ),
      ];
    })
    .join('\n');
}
