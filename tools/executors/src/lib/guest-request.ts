import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { guestArch, guestRelease, lockPath, readLock, type Lock, type LockRequest } from '@sovereign/base';
import { SovereignError } from '@sovereign/report';
import type { Base, FoundService } from '@sovereign/service';

/** What a service asks a base for. */
export function guestRequest({ definition, folder }: FoundService, base: Base): LockRequest {
  const wanted = definition.bases[base];
  if (wanted === undefined) {
    throw new SovereignError({
      code: 'base-unavailable',
      what: `${definition.title} is not declared for the ${base} base`,
      on: join(folder, 'service.config.ts'),
      hint: 'Choose another base, or declare its packages there',
    });
  }
  return { packages: wanted.packages, leaveOut: Object.keys(wanted.leaveOut), arch: guestArch[base] };
}

/**
 * Reads the lock of a service.
 * @throws SovereignError `stale-lock` when it is missing or answers another question than the definition asks
 */
export async function readGuestLock(service: FoundService, base: Base): Promise<Lock> {
  const path = lockPath(service, base);
  const request = guestRequest(service, base);
  // nx itself takes Alpine, and asks no mirror whether it is reached.
  const other =
    base === 'alpine'
      ? '. Where no Alpine mirror is reached, write the line SOVEREIGN_BASE=debian into .env.local'
      : '';
  const hint = `Make it with ./sovereign lock, or nx run ${service.project}:lock${other}`;
  if (!existsSync(path)) {
    throw new SovereignError({ code: 'stale-lock', what: `there is no ${base} lock yet`, on: path, hint });
  }
  const lock = await readLock(path);
  if (lock.release !== guestRelease[base] || lock.arch !== request.arch) {
    throw new SovereignError({
      code: 'stale-lock',
      what: `the lock is of ${lock.release} for ${lock.arch}, images are of ${guestRelease[base]} for ${request.arch}`,
      on: path,
      hint,
    });
  }
  const leftOut = new Set(request.leaveOut);
  const same =
    isDeepStrictEqual(lock.requested, [...request.packages]) &&
    lock.packages.every(({ name }) => !leftOut.has(name));
  if (same) return lock;
  throw new SovereignError({
    code: 'stale-lock',
    what: 'the definition asks for other packages than the lock answers',
    on: path,
    hint,
  });
}
