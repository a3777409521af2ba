import { failed, ok, skipped, type Layer } from '../contract.ts';
import { restartTailscaled } from '../fixes.ts';
import { settings, type GuestView } from '../guest-view.ts';

export const TAILNET_OFF = 'the tailnet is off for this guest';

export const tailnetIsOn = (guest: GuestView): boolean => settings(guest, 'tailnet')[0] === 'yes';

/** Tailscale's daemon in the guest answers. */
export const tailscaled: Layer = {
  name: 'tailscaled',
  asks: 'the guest: whether tailscaled answers',
  async probe(scene) {
    const guest = await scene.guest();
    if (!tailnetIsOn(guest)) return skipped(TAILNET_OFF);
    const { name } = scene.definition;
    const cure = `Run sovereign diagnose ${name} --fix, which starts it again, or sovereign restart ${name}`;
    const { tailscale } = guest;
    if (tailscale === undefined) return failed('it was not asked', cure, restartTailscaled);
    const text = tailscale.lines.join(' ');
    // It says so where nobody listens at its socket, and is ended by us (143, 124) where somebody does not answer.
    if (
      /failed to connect|doesn't appear to be running|not running\?/i.test(text) ||
      [124, 127, 143].includes(tailscale.status)
    )
      return failed(
        text === '' ? `no answer, exit status ${tailscale.status}` : text,
        cure,
        restartTailscaled,
      );
    return ok('it answers');
  },
};
