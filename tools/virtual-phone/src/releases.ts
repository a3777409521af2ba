import type { Android } from './state.ts';

/** What a release of Android says of itself. */
export const releases: Record<Android, { sdk: number; virt: number }> = {
  13: { sdk: 33, virt: 330_000_000 },
  14: { sdk: 34, virt: 340_000_000 },
  15: { sdk: 35, virt: 350_000_000 },
  '15-QPR2': { sdk: 35, virt: 352_000_000 },
  16: { sdk: 36, virt: 360_000_000 },
  17: { sdk: 37, virt: 370_000_000 },
};
