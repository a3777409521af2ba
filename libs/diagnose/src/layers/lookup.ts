import { failed, ok, skipped, type Layer } from '../contract.ts';
import { setNetwork } from '../fixes.ts';
import { settings, type GuestView, type Said } from '../guest-view.ts';

/** The guest's name servers know a name that this workstation knows. */
export const lookup: Layer = {
  name: 'lookup',
  asks: 'the guest: the address of a name',
  async probe(scene) {
    const guest = await scene.guest();
    const outside = await scene.outside();
    const servers = settings(guest, 'dns').join(', ');
    if (outside === undefined || guest.lookup === undefined)
      return skipped('no name is known that could be asked for');
    const found = foundAddress(guest.lookup);
    if (found !== undefined) return ok(`${outside.host} is ${found}, by ${servers}`);
    // Name servers that nobody reaches are silent like everything else outside; the next layer tells.
    if (namesAreSilent(guest) && !connected(guest.uplink))
      return skipped(`no name server answers (${servers}), and neither does anything else outside`);
    if (outside.address === undefined)
      return skipped(`${outside.host} is not known to ${servers}, and not to this workstation either`);
    const { name } = scene.definition;
    return failed(
      `${outside.host} is not known to ${servers || 'any name server'}: ${guest.lookup.lines.at(-1) ?? 'no answer'}; this workstation says ${outside.address}`,
      `Run sovereign diagnose ${name} --fix, which sets the name servers of the settings; other ones: sovereign up ${name} --dns ADDRESS`,
      setNetwork,
    );
  },
};

/** In the answer of nslookup: the address behind the name, not that of the server. */
const foundAddress = ({ status, lines }: Said): string | undefined =>
  status === 0 ? /^Name:[^]*?^Address(?: \d+)?:\s*(\S+)/m.exec(lines.join('\n'))?.[1] : undefined;

/** Neither yes nor no: nobody answered. */
export const namesAreSilent = ({ lookup: said }: GuestView): boolean =>
  said !== undefined &&
  said.status !== 0 &&
  !/NXDOMAIN|SERVFAIL|REFUSED|can't find/.test(said.lines.join('\n'));

/**
 * nc that came through ends well, or is ended (143, and 124 where `timeout` says so) while the server waits for a word
 * from it.
 */
export const connected = (said: Said | undefined): boolean =>
  said !== undefined && [0, 124, 143].includes(said.status);
