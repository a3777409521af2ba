import { failed, ok, skipped, type Layer } from '../contract.ts';
import { TAILNET_OFF, tailnetIsOn } from './tailscaled.ts';

/** Another device of the tailnet is there and answers. */
export const peers: Layer = {
  name: 'peers',
  asks: 'the guest: its peers in the tailnet, and a ping through it',
  async probe(scene) {
    const guest = await scene.guest();
    if (!tailnetIsOn(guest)) return skipped(TAILNET_OFF);
    const own = guest.tailnet?.split(' ')[1];
    // `ADDRESS NAME OWNER SYSTEM STATE`
    const others = (guest.tailscale?.lines ?? [])
      .map((line) => /^(\d+\.\d+\.\d+\.\d+)\s+(\S+)/.exec(line))
      .flatMap((match) => (match?.[1] === undefined || match[1] === own ? [] : [match[2] ?? '']));
    if (others.length === 0) {
      return failed(
        'no other device of the tailnet is seen',
        "Log the device that shall reach it in to the same tailnet, and look whether the tailnet's access rules let them see each other",
      );
    }
    if (guest.peers.length === 0) {
      return failed(
        `none is online: ${others.join(', ')}`,
        'Switch Tailscale on at the device that shall reach it',
      );
    }
    const answered = guest.peers.find((peer) => peer.answered);
    if (answered !== undefined) return ok(`${answered.name}: ${answered.line}`);
    return failed(
      guest.peers.map(({ name, line }) => `${name} does not answer: ${line}`).join('; '),
      'Look whether one of the two networks blocks UDP and the relays of the tailnet',
    );
  },
};
