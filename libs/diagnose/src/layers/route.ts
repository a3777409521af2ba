import { failed, ok, type Layer } from '../contract.ts';
import { setNetwork } from '../fixes.ts';
import { settings } from '../guest-view.ts';

/** The default route leads to the gateway of the settings, which answers. */
export const route: Layer = {
  name: 'route',
  asks: 'the guest: its default route, and a ping to the gateway',
  async probe(scene) {
    const guest = await scene.guest();
    const { name } = scene.definition;
    const [gateway] = settings(guest, 'eth0-gateway');
    if (gateway === undefined) return failed('the settings name no gateway', `Run sovereign deploy ${name}`);
    if (!guest.routes.some((seen) => `${seen} `.includes(` via ${gateway} `))) {
      return failed(
        `no default route by ${gateway}: ${guest.routes.join(', ') || 'there is none'}`,
        `Run sovereign diagnose ${name} --fix, which sets it, or sovereign restart ${name}`,
        setNetwork,
      );
    }
    if (guest.gateway !== true) {
      return failed(
        `default by ${gateway}, which does not answer`,
        `The device does not carry the guest's packets: run sovereign doctor, then sovereign restart ${name}`,
      );
    }
    return ok(`default by ${gateway}, which answers`);
  },
};
