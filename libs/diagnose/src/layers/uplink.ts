import { failed, ok, skipped, type Layer } from '../contract.ts';
import { connected, namesAreSilent } from './lookup.ts';
import { tailnetIsOn } from './tailscaled.ts';

/** The guest connects to a server outside, by its address. */
export const uplink: Layer = {
  name: 'uplink',
  asks: 'the guest: a connection to a server outside',
  async probe(scene) {
    const guest = await scene.guest();
    const outside = await scene.outside();
    if (outside === undefined) return skipped('no server outside is known that could be asked');
    const where = `${outside.host} (${outside.address ?? 'address unknown'} port ${outside.port})`;
    if (connected(guest.uplink)) return ok(`${where} takes a connection`);
    const said = guest.uplink?.lines.at(-1) ?? 'no answer';
    // One server that is down says nothing about the way to it. A tailnet without any way out is no tailnet.
    const cut = tailnetIsOn(guest) && namesAreSilent(guest);
    if (!outside.reached && !cut)
      return skipped(`${where} is not reached, by this workstation neither: ${said}`);
    return failed(
      outside.reached
        ? `${where} is not reached: ${said}; this workstation reaches it`
        : `nothing outside is reached, by this workstation neither: ${said}`,
      scene.device.kind === 'local'
        ? 'Look at the network and the firewall of this machine'
        : 'Look at Wi-Fi and mobile data of the phone, at its VPN, and whether it saves data in the background',
    );
  },
};
