import { failed, ok, type Layer } from '../contract.ts';
import { setNetwork } from '../fixes.ts';
import { settings } from '../guest-view.ts';
import { interfaces } from './link.ts';

/** Each interface has its address. */
export const address: Layer = {
  name: 'address',
  asks: 'the guest: the addresses of its interfaces',
  async probe(scene) {
    const guest = await scene.guest();
    const wanted = [
      ['lo', '127.0.0.1/8'] as const,
      ...interfaces(guest).flatMap((name) =>
        settings(guest, `${name}-address`).map((value) => [name, value] as const),
      ),
    ];
    const has = ([name, value]: readonly [string, string]) =>
      guest.addresses.some(([link, seen]) => link === name && seen === value);
    const missing = wanted.filter((pair) => !has(pair));
    const list = (pairs: typeof wanted) => pairs.map(([name, value]) => `${value} on ${name}`).join(', ');
    if (missing.length === 0) return ok(list(wanted));
    const { name } = scene.definition;
    return failed(
      `not set: ${list(missing)}`,
      `Run sovereign diagnose ${name} --fix, which sets it, or sovereign restart ${name}`,
      setNetwork,
    );
  },
};
