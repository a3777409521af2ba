import { SovereignError } from '@sovereign/report';

/** @param device its id */
export const notDeployed = (service: string, device: string): SovereignError =>
  new SovereignError({
    code: 'not-deployed',
    what: 'the service was never deployed here',
    on: `${service} on ${device}`,
    hint: `Run sovereign up ${service}`,
  });
