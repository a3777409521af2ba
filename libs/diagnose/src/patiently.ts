import { setTimeout as sleep } from 'node:timers/promises';
import type { Finding, Layer } from './contract.ts';

/** How often something is asked that may pass by itself. */
const TRIES = 4;

/** A probe that asks again, everything anew, while the finding is one that may pass by itself. */
export const patiently =
  (probe: Layer['probe'], passes: (finding: Finding) => boolean): Layer['probe'] =>
  async (scene) => {
    for (let left = TRIES - 1; ; left--) {
      const finding = await probe(scene);
      if (left === 0 || !passes(finding)) return finding;
      await sleep(scene.pause);
      scene.forget();
    }
  };
