import type { TailnetSettings, TailnetStatus } from '@sovereign/device';
import type { FoundService } from '@sovereign/service';
import { renderUnicodeCompact } from 'uqr';
import { wordOf } from './services.ts';

/** One line about a node, for people. */
export function describeTailnet(status: TailnetStatus): string {
  const { state, name, address, expires, url, detail } = status;
  const why = detail === undefined ? '' : `: ${detail}`;
  switch (state) {
    case 'running': {
      const key =
        expires === undefined || expires === null ? 'its key never ends' : `its key ends ${expires}`;
      const silence = detail === undefined ? '' : `; its control server is not reached${why}`;
      return `${name ?? '?'} at ${address ?? '?'}, ${key}${describeHttps(status)}${silence}`;
    }
    case 'needs-login':
      return `not logged in${url === undefined ? '' : `; visit ${url}`}`;
    case 'expired':
      return `its key expired${expires == null ? '' : ` ${expires}`}${url === undefined ? '' : `; visit ${url}`}`;
    case 'needs-approval':
      return 'waits for approval by who runs the tailnet';
    case 'stopped':
      return 'stopped by hand';
    case 'refused':
      return `the auth key was refused${why}`;
    case 'unreachable':
      return `the control server is not reached${why}`;
    case 'starting':
      return `starting${why}`;
    case 'unknown':
      return 'the guest says nothing of it';
    default:
      return state;
  }
}

function describeHttps({ https }: TailnetStatus): string {
  if (https === undefined) return '';
  const { state, name, expires, from } = https;
  if (state !== 'on') return `, ${state === 'none' ? 'no HTTPS' : 'HTTPS fails'}`;
  const whose = from === 'own' ? 'your certificate' : 'a certificate of the tailnet';
  return `, HTTPS for ${name ?? '?'} with ${whose} until ${expires?.slice(0, 10) ?? '?'}`;
}

/** A QR code for a terminal; both colours are set, since its own may be either way round. */
export const qrCode = (text: string): string =>
  renderUnicodeCompact(text, { border: 2 })
    .split('\n')
    .map((line) => `\u001b[97;40m${line}\u001b[0m\n`)
    .join('');

/** The tag that the guide proposes where the settings have none. */
const TAG = 'tag:sovereign';

/** How to get a key whose nodes never expire, and rules that let the owner's devices reach the declared ports only. */
export function guide(
  services: readonly FoundService[],
  { server, tags: [tag = TAG] = [] }: Pick<TailnetSettings, 'server' | 'tags'>,
): string[] {
  const numbers = services.flatMap(({ definition }) =>
    definition.ports.flatMap(({ tailnet }) => tailnet ?? []),
  );
  const ports = [...new Set(numbers)].sort((a, b) => a - b);
  const login = services.map((service) => `  ./sovereign tailnet login ${wordOf(service)} --key FILE`);
  if (server !== undefined) {
    return [
      `A node that is tagged never expires. In the policy of the control server (here headscale's; you are you@):`,
      `  "tagOwners": { "${tag}": ["you@"] },`,
      `  "acls": [ { "action": "accept", "src": ["you@"], "dst": ["${tag}:${ports.join(',')}"] } ]`,
      'Make a key, and give it in a file:',
      `  headscale preauthkeys create --user ID --tags ${tag}`,
      ...login,
    ];
  }
  return [
    'A node that is tagged never expires. In the policy of your tailnet, https://login.tailscale.com/admin/acls:',
    `  "tagOwners": { "${tag}": ["autogroup:owner"] },`,
    `  "grants": [ { "src": ["autogroup:owner"], "dst": ["${tag}"], "ip": [${ports.map((port) => `"tcp:${port}"`).join(', ')}] } ]`,
    'Rules add up: it narrows nothing as long as the rule stands that lets everything reach everything.',
    `Make an auth key with the tag ${tag}, https://login.tailscale.com/admin/settings/keys, and give it in a file:`,
    ...login,
  ];
}
