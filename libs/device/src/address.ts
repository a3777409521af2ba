import { SovereignError } from '@sovereign/report';

/** Where there is to be none. */
export const NO_ADDRESS = 'off';

/**
 * An address on the web that is a secret, as the programs that call it take it (packages/network, `call`); with `off`,
 * also that word, for none.
 * @throws SovereignError `bad-address` with exit 2, without the address
 */
export function checkAddress(name: string, value: string, { off = true } = {}): string {
  const given = value.trim();
  if (off && given === NO_ADDRESS) return given;
  const bad = (what: string): SovereignError =>
    new SovereignError({
      code: 'bad-address',
      what: `this is no address that can be called: ${what}`,
      on: name,
      hint: `Wanted: an address with https:// in front, as its server shows it${off ? `, or ${NO_ADDRESS}` : ''}`,
      exit: 2,
    });
  if (given.length > 2048) throw bad('it has more than 2048 characters');
  // What a browser would mend on its way, nobody else does.
  if (!/^[\x21-\x7e]+$/.test(given)) throw bad('it has blanks, or letters that an address has only encoded');
  const { protocol, username, password, hostname, hash } = URL.parse(given) ?? {};
  if (protocol !== 'https:' && protocol !== 'http:') throw bad('it does not begin with https:// or http://');
  if (hostname === undefined || !/^https?:\/\/[^/]/i.test(given)) throw bad('it names no host');
  if (`${username}${password}` !== '') throw bad('it has a user or a password in it');
  if (hash !== '') throw bad('it has a # in it');
  return given;
}
