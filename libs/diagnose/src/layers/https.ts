import { HTTPS_PAGE, parseHttps, type HttpsStatus } from '@sovereign/device';
import type { ServiceDefinition } from '@sovereign/service';
import { failed, ok, skipped, type Finding, type Layer } from '../contract.ts';
import { restartTailscaled } from '../fixes.ts';
import { patiently } from '../patiently.ts';
import type { Scene } from '../scene.ts';
import { TAILNET_OFF, tailnetIsOn } from './tailscaled.ts';

const BEGINS = 'it has told nothing of HTTPS yet';

/** A handshake with what takes TLS for a web service is verified, as a client of the tailnet does it. */
export const https: Layer = {
  name: 'https',
  asks: 'the guest: a verified handshake with its port for HTTPS',
  // A certificate that the tailnet makes takes its time, and so does what takes TLS.
  probe: patiently(ask, ({ evidence }) => evidence === BEGINS),
};

async function ask(scene: Scene): Promise<Finding> {
  const guest = await scene.guest();
  if (!tailnetIsOn(guest)) return skipped(TAILNET_OFF);
  // Older guests do no handshake when they are asked, and have told of their last one.
  const told = guest.https ?? (await scene.inspection()).service?.https;
  const { definition } = scene;
  const declared = definition.ports.some(({ tls }) => tls !== undefined);
  const again = `Wait a moment and ask again; sovereign logs ${definition.name} tells more`;
  if (told === undefined) return declared ? failed(BEGINS, again) : skipped('the service has no HTTPS');
  if (told === 'starting') return failed(BEGINS, again);
  const status = parseHttps(told);
  if (status === undefined)
    return failed(
      `the guest says: ${told}`,
      `Run sovereign deploy ${definition.name}: its release is another`,
    );
  return judge(status, definition, scene.workstation.clock());
}

/** What a handshake that failed says, by what is wrong; the first that fits. */
const problems: readonly [
  said: RegExp,
  evidence: string,
  cure: (words: Cures) => string,
  fix?: typeof restartTailscaled,
][] = [
  [
    /^no certificate: /,
    'the tailnet made no certificate',
    ({ give }) => `It goes on trying by itself. Look at ${HTTPS_PAGE}, or give one: ${give}`,
  ],
  [
    /refused|says nothing|timeout|deadline/,
    'nobody takes TLS',
    ({ name }) => `Run sovereign diagnose ${name} --fix, which starts it again`,
    restartTailscaled,
  ],
  [
    /expired|not yet valid/,
    'the certificate is not of this time',
    ({ name, give }) =>
      `Give the next one: ${give}; the tailnet renews its own by itself, sovereign logs ${name} tells why it did not`,
  ],
  [
    /certificate is (not )?valid for|hostname/,
    'the certificate has another name',
    ({ setting, give }) => `Give one that has the name: ${give}; or set the name that it has: ${setting}`,
  ],
  [
    /unknown authority/,
    'nobody trusts the certificate',
    ({ give }) => `Give its whole chain, where the authority is your own with that one's at the end: ${give}`,
  ],
];

interface Cures {
  name: string;
  /** How a certificate is given, and the name that it is to have is set. */
  give: string;
  setting: string;
}

function judge(status: HttpsStatus, definition: ServiceDefinition, now: number): Finding {
  const { name } = definition;
  const tls = definition.ports.find((port) => port.tls !== undefined)?.tls;
  const words: Cures = {
    name,
    give: `sovereign secrets set ${name} ${tls?.certificate ?? 'CERTIFICATE'} <FILE, with certificate and key`,
    setting: `sovereign settings ${name} ${tls?.address ?? 'ADDRESS'}=https://NAME`,
  };
  const { detail = '', expires = '', from } = status;
  switch (status.state) {
    case 'none':
      return failed(
        'there is no certificate: the tailnet makes none, and none was given',
        `Switch HTTPS on at ${HTTPS_PAGE}, or give one: ${words.give}`,
      );
    case 'bad': {
      const [, evidence, cure, fix] = problems.find(([said]) => said.test(detail)) ?? [];
      if (evidence === undefined || cure === undefined)
        return failed(`the handshake is not verified: ${detail}`, `Give another certificate: ${words.give}`);
      return failed(`${evidence}: ${detail}`, cure(words), fix);
    }
    case 'on': {
      const told = `${status.name ?? '?'}: the handshake is verified; the certificate ends at ${expires}`;
      // By this workstation's clock, which the clients' are like.
      if (!(Date.parse(expires) / 1000 > now))
        return failed(`${told}, which is over`, `Give the next one: ${words.give}`);
      return ok(`${told}, and is ${from === 'own' ? 'the owner’s' : 'the tailnet’s'}`);
    }
  }
}
