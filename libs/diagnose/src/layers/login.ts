import { failed, ok, skipped, type Finding, type Layer } from '../contract.ts';
import { restartTailscaled } from '../fixes.ts';
import { patiently } from '../patiently.ts';
import type { Scene } from '../scene.ts';
import { TAILNET_OFF, tailnetIsOn } from './tailscaled.ts';

const WAITS = 'It goes on trying by itself. Look at the control server, and at its address in the settings';
const BEGINS = 'it has just begun to ask its control server';

/** The guest is a node of the tailnet, and its control server says so. */
export const login: Layer = {
  name: 'login',
  asks: 'the guest: its state in the tailnet',
  // A daemon that has just started knows its state in a moment.
  probe: patiently(ask, ({ evidence }) => evidence === BEGINS),
};

async function ask(scene: Scene): Promise<Finding> {
  const guest = await scene.guest();
  if (!tailnetIsOn(guest)) return skipped(TAILNET_OFF);
  const { name } = scene.definition;
  const [state = 'unknown', ...words] = (guest.tailnet ?? '').split(' ').filter((word) => word !== '');
  const rest = words.join(' ');
  const logIn = `Run sovereign tailnet login ${name}`;
  switch (state) {
    case 'running': {
      const [address, node, expiry = 'never', , ...silence] = words;
      const ended = expiry !== 'never' && Date.parse(expiry) / 1000 < scene.workstation.clock();
      if (ended) return failed(`the key of ${node} expired at ${expiry}`, logIn);
      if (silence.length > 0)
        return failed(`the control server of ${node} does not answer: ${silence.join(' ')}`, WAITS);
      return ok(`${node} is ${address}; its key expires: ${expiry}`);
    }
    case 'needs-login':
      return failed('nobody has logged this node in yet', rest === '' ? logIn : `${logIn}, or visit ${rest}`);
    case 'expired': {
      const [when, url] = words;
      return failed(
        `the key of this node expired at ${when}`,
        url === undefined ? logIn : `${logIn}, or visit ${url}`,
      );
    }
    case 'needs-approval':
      return failed(
        'the node waits for approval',
        "Approve it in the list of your tailnet's machines: at Tailscale https://login.tailscale.com/admin/machines",
      );
    case 'stopped':
      return failed('the node was stopped by hand, with tailscale down', logIn);
    case 'refused':
      return failed(
        `the control server refused the key: ${rest}`,
        `Make a new auth key and run sovereign tailnet login ${name} --key FILE`,
      );
    case 'logged-out':
      return failed('this node was logged out', logIn);
    case 'unreachable':
      return failed(`the control server does not answer: ${rest}`, WAITS);
    case 'starting':
      if (rest === '') return failed(BEGINS, 'Wait a moment and ask again');
      return failed(
        `the control server knows it, and it reaches neither a relay nor another device: ${rest}`,
        `Look whether the network lets HTTPS through to the relays of the tailnet; sovereign diagnose ${name} --fix starts it again`,
        restartTailscaled,
      );
    default:
      return failed(`its state is ${state}${rest === '' ? '' : `: ${rest}`}`, 'Wait a moment and ask again');
  }
}
