import { describeNewer, lookForNewer } from '../newer.ts';
import { servicesOnBase } from '../on-base.ts';
import { wordOf } from '../services.ts';
import type { Run } from '../session.ts';

export const outdated: Run = async (session) => {
  const services = await servicesOnBase(session, session.chosen);
  const found = await lookForNewer(session, services);
  const behind = found.filter(({ changes }) => changes.length > 0).map(({ service }) => wordOf(service));
  return {
    json: {
      services: found.map(({ service, lock, changes, securityKnown }) => ({
        service: service.definition.name,
        base: lock.base,
        securityKnown,
        changes: changes.map(({ name, from, to, fixes }) => ({
          name,
          from: from ?? null,
          to: to ?? null,
          fixes,
        })),
      })),
    },
    text: [
      ...found.flatMap(describeNewer),
      ...behind.map((word) => `./sovereign upgrade ${word} takes it`),
    ].join('\n'),
  };
};
