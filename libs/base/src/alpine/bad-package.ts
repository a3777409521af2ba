import { SovereignError } from '@sovereign/report';

/** A package or an index that is not what it should be. */
export const badPackage = (name: string, why: string, cause?: unknown): SovereignError =>
  new SovereignError({
    code: 'bad-package',
    what: `this cannot be trusted: ${why}`,
    on: name,
    hint: 'Nothing of it was used. Try again later or name another mirror in SOVEREIGN_ALPINE_MIRROR',
    cause,
  });
