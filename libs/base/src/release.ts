import { BRANCH } from './alpine/mirror.ts';
import { SUITE } from './debian/apt.ts';

/** What of each base images are made of: Alpine's branch, Debian's suite. */
export const guestRelease = { alpine: BRANCH, debian: SUITE } as const;
