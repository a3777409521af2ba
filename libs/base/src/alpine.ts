import { SovereignError } from '@sovereign/report';
import type { PackageBase } from './contract.ts';

const refuse = () =>
  Promise.reject(
    new SovereignError({
      code: 'base-unavailable',
      what: 'images with the Alpine base cannot be made yet',
      hint: 'Write SOVEREIGN_BASE=debian to .env.local, or build the debian configuration',
    }),
  );

/** The place of the Alpine base. Until it is built, asking for it is an error that names the way that works. */
export const alpine: PackageBase = { lock: refuse, unpack: refuse };
