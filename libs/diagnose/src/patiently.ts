import { setTimeout as sleep } from 'node:timers/promises';
import type { Finding } from './contract.ts';
import type { Scene } from './scene.ts';

/** How often something is asked that may pass by itself. */
const TRIES = 4;

/** Asks again, everything anew, while the finding is one that may pass by itself. */
export async function patiently(
  scene: Scene,
  probe: () => Promise<Finding>,
  passes: (finding: Finding) => boolean,
): Promise<Finding> {
  for (let left = TRIES - 1; ; left--) {
    const finding = await probe();
    if (left === 0 || !passes(finding)) return finding;
    await sleep(scene.pause);
    scene.forget();
  }
}
