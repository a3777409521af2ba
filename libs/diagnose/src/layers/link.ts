import type { Finding, Layer } from '../contract.ts';
import { failed, ok } from '../contract.ts';
import { renewNetwork, setNetwork } from '../fixes.ts';
import type { GuestView } from '../guest-view.ts';
import type { Scene } from '../scene.ts';

/** The interfaces of the settings are there and up, and what carries their frames runs on both sides. */
export const link: Layer = {
  name: 'link',
  asks: 'the guest: its interfaces; the device: what carries their frames',
  async probe(scene) {
    const guest = await scene.guest();
    const wanted = interfaces(guest);
    const states = wanted.map((name) => ({ name, link: guest.links.find((seen) => seen.name === name) }));
    const wrong = states
      .filter(({ link: seen }) => seen?.up !== true || !seen.carrier)
      .map(({ name, link: seen }) => {
        if (seen === undefined) return `${name} is not there`;
        return seen.up ? `${name} is up, and has no carrier` : `${name} is down`;
      });
    if (wanted.length === 0) wrong.push('the settings name no interface');
    const carried = await overVsock(scene, guest);
    if (carried !== undefined) return carried;
    if (wrong.length > 0) return failed(wrong.join('; '), cure(scene), setNetwork);
    return ok(`${wanted.join(', ')} up, with a carrier`);
  },
};

const cure = ({ definition: { name } }: Scene): string =>
  `Run sovereign diagnose ${name} --fix, which sets it as the settings say, or sovereign restart ${name}`;

export const interfaces = (guest: GuestView): string[] =>
  guest.settings.flatMap(([key]) => /^(eth\d)-address$/.exec(key)?.[1] ?? []);

/** Where frames go over vsock: gvforwarder in the guest, gvproxy on the device. Undefined where nothing is wrong. */
async function overVsock(scene: Scene, guest: GuestView): Promise<Finding | undefined> {
  const { device } = await scene.inspection();
  if (device.network !== 'vsock') return undefined;
  const { attention } = device;
  const told = attention?.includes('gvproxy') === true ? `: ${attention}` : '';
  const fix = `Run sovereign diagnose ${scene.definition.name} --fix, which starts it again`;
  if (device.gvproxy === undefined)
    return failed(`gvproxy does not run on the device${told}`, fix, renewNetwork);
  if (guest.gvforwarder === false)
    return failed('gvforwarder does not run in the guest: nothing carries eth0', fix, setNetwork);
  // Everything is set, and not even the gateway answers, which is gvproxy itself.
  const set = guest.routes.length > 0 && guest.addresses.some(([name]) => name === 'eth0');
  if (set && guest.gateway === false)
    return failed(
      `gvproxy (process ${device.gvproxy}) runs, and does not answer the guest${told}`,
      fix,
      renewNetwork,
    );
  return undefined;
}
