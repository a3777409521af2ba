import { toSovereignError } from '@sovereign/report';
import { failed, ok, type Finding, type Layer } from '../contract.ts';
import { patiently } from '../patiently.ts';
import type { Scene } from '../scene.ts';

/** What speaks for the guest is heard, and answers a question. */
export const agent: Layer = {
  name: 'agent',
  asks: "the guest's agent: a question over the control channel",
  // A guest that has more to do than its device can carry falls silent for moments.
  probe: patiently(hear, ({ result }) => result === 'failed'),
};

async function hear(scene: Scene): Promise<Finding> {
  const { name } = scene.definition;
  const { service = {}, clock, console } = await scene.inspection();
  const { stage, silent, health = 'unknown' } = service;
  const cure = `Run sovereign restart ${name}; sovereign logs --boot ${name} may tell why`;
  const last = console.at(-1);
  const seen = `last stage ${stage ?? 'none'}${last === undefined ? '' : `, last line of the console: ${last}`}`;
  if (silent !== undefined) {
    const seconds = Math.round(clock - Number(silent));
    return failed(`it spoke, and has said nothing for ${seconds} s; ${seen}`, cure);
  }
  if (stage === undefined || health === 'unknown') {
    return failed(`it has not said anything of this start yet; ${seen}`, cure);
  }
  try {
    await scene.guest();
  } catch (thrown) {
    return failed(`stage ${stage}, health ${health}, but: ${toSovereignError(thrown).what}`, cure);
  }
  return ok(`stage ${stage}, health ${health}; it answers`);
}
