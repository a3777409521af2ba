import { failed, ok, skipped, type Layer } from '../contract.ts';
import { connected } from './lookup.ts';

/** The guest connects to a server outside, by its address. */
export const uplink: Layer = {
  name: 'uplink',
  asks: 'the guest: a connection to a server outside',
  async probe(scene) {
    const guest = await scene.guest();
    const outside = await scene.outside();
    if (outside === undefined) return skipped('this workstation knows no server outside either');
    const where = `${outside.host} (${outside.address} port ${outside.port})`;
    if (guest.uplink !== undefined && connected(guest.uplink)) return ok(`${where} takes a connection`);
    const said = guest.uplink?.lines.at(-1) ?? 'no answer';
    if (!outside.reached) return skipped(`${where} is not reached, by this workstation neither: ${said}`);
    return failed(
      `${where} is not reached: ${said}; this workstation reaches it`,
      scene.device.kind === 'local'
        ? 'Look at the network and the firewall of this machine'
        : 'Look at Wi-Fi and mobile data of the phone, at its VPN, and whether it saves data in the background',
    );
  },
};
