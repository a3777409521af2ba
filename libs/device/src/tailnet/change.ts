import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { SovereignError } from '@sovereign/report';
import { isDeviceName, isServer, isTag, type TailnetSettings } from './settings.ts';

/** What the owner says of a device's tailnet; what is undefined stays as it was. */
export interface TailnetChange {
  /** False: switched off. */
  on: boolean;
  /** Null: Tailscale's own again. */
  server?: string | null;
  name?: string;
  tags?: string[];
  /** Certificates in PEM that vouch for the control server; null: none but the usual ones again. */
  ca?: string | null;
  /** An auth key, or the secret of an OAuth client. Never in an argument, a message or a log. */
  key?: string;
}

/** The same as a command line has it. */
export interface TailnetWords {
  tailnet?: boolean | undefined;
  /** Path of the file with the key. */
  tailnetKey?: string | undefined;
  /** Address, or {@link DEFAULT}. */
  tailnetServer?: string | undefined;
  /** Path, or {@link DEFAULT}. */
  tailnetCa?: string | undefined;
  /** With commas. */
  tailnetTags?: string | undefined;
  tailnetName?: string | undefined;
}

/** Takes back what was said of a server, or of its authority, before. */
const DEFAULT = 'default';
/** Longest key that is taken, in characters; those of today have about 60. */
const KEY_LENGTH = 512;

/**
 * Reads and checks what a command line says of the tailnet; undefined where it says nothing.
 * @throws SovereignError with exit 2 for a value that cannot be meant
 */
export async function readTailnetChange(words: TailnetWords): Promise<TailnetChange | undefined> {
  const { tailnet, tailnetKey, tailnetServer, tailnetCa, tailnetTags, tailnetName } = words;
  const said = [tailnetKey, tailnetServer, tailnetCa, tailnetTags, tailnetName].some(
    (word) => word !== undefined,
  );
  if (tailnet === false) {
    if (!said) return { on: false };
    throw wrong('the tailnet is switched off and set in one breath', '--no-tailnet', 'Leave one of them out');
  }
  if (tailnet === undefined && !said) return undefined;
  const tags = tailnetTags?.split(',');
  const badTag = tags?.find((tag) => !isTag(tag));
  if (badTag !== undefined) throw wrong('this is no tag', badTag, 'Wanted: tag:NAME, several with commas');
  if (tailnetServer !== undefined && tailnetServer !== DEFAULT && !isServer(tailnetServer)) {
    throw wrong(
      'this is no address of a control server',
      tailnetServer,
      `Wanted: https://headscale.example.org, without a path, or ${DEFAULT} for Tailscale's own`,
    );
  }
  if (tailnetName !== undefined && !isDeviceName(tailnetName)) {
    throw wrong('this is no name for a device', tailnetName, 'Wanted: at most 31 of a-z, 0-9 and -');
  }
  return {
    on: true,
    ...(tailnetServer === undefined
      ? {}
      : { server: tailnetServer === DEFAULT ? null : tailnetServer.replace(/\/$/, '') }),
    ...(tailnetName === undefined ? {} : { name: tailnetName }),
    ...(tags === undefined ? {} : { tags }),
    ...(tailnetCa === undefined ? {} : { ca: tailnetCa === DEFAULT ? null : await readCa(tailnetCa) }),
    ...(tailnetKey === undefined ? {} : { key: await readTailnetKey(tailnetKey) }),
  };
}

/**
 * The key in a file, which holds nothing else.
 * @throws SovereignError `bad-tailnet-key`, without the key in it
 */
export const readTailnetKey = async (path: string): Promise<string> =>
  checkKey(await read(path, '--tailnet-key'), path);

/** Pure. @throws SovereignError `bad-tailnet-key` */
export function checkKey(text: string, on: string): string {
  const key = text.replace(/\r?\n$/, '');
  const other = /^tskey-(?!auth-|client-)([a-z]+)-/.exec(key)?.[1];
  const what =
    key === ''
      ? 'the file with the auth key is empty'
      : /[\r\n]/.test(key)
        ? 'the file with the auth key has more than one line'
        : !/^[!-~]+$/.test(key)
          ? 'the auth key has blanks or characters that no key has'
          : key.length > KEY_LENGTH
            ? `the auth key has more than ${KEY_LENGTH} characters`
            : other === undefined
              ? undefined
              : `this is a key for ${other === 'api' ? "Tailscale's API" : `another purpose (tskey-${other})`}, which logs no node in`;
  if (what === undefined) return key;
  throw new SovereignError({
    code: 'bad-tailnet-key',
    what,
    on,
    hint: 'Wanted: one line with an auth key (tskey-auth-…, or the one that your own control server made), or the secret of an OAuth client (tskey-client-…)',
    exit: 2,
  });
}

async function readCa(path: string): Promise<string> {
  const pem = await read(path, '--tailnet-ca');
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    if (certificates.length === 0) throw new Error('no certificate in it');
    for (const certificate of certificates) new X509Certificate(certificate);
  } catch (cause) {
    throw new SovereignError({
      code: 'bad-tailnet-ca',
      what: 'this file holds no certificates in PEM',
      on: path,
      hint: 'Wanted: the certificate of the authority that signed the control server’s',
      exit: 2,
      cause,
    });
  }
  // Nothing else of the file: a private key beside the certificate is none of the guest's business.
  return certificates.map((certificate) => `${certificate.replaceAll('\r', '')}\n`).join('');
}

async function read(path: string, flag: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw wrong(`the file that ${flag} names cannot be read`, path, 'Name a file that is there', cause);
  }
}

const wrong = (what: string, on: string, hint: string, cause?: unknown): SovereignError =>
  new SovereignError({ code: 'usage', what, on, hint, exit: 2, cause });

/**
 * The settings after a change. Pure.
 * @throws SovereignError with exit 2 where they do not go together
 */
export function changeTailnet(
  before: TailnetSettings | undefined,
  { on, server, name, tags, ca, key }: TailnetChange,
): TailnetSettings | undefined {
  if (!on) return before === undefined ? undefined : { ...before, off: true };
  const kept: TailnetSettings = { ...before };
  delete kept.off;
  const after: TailnetSettings = {
    ...kept,
    ...(server === undefined || server === null ? {} : { server }),
    ...(name === undefined ? {} : { name }),
    ...(tags === undefined ? {} : { tags }),
  };
  if (server === null) delete after.server;
  const nodes = Object.entries(kept.nodes ?? {}).filter(([, node]) => node !== null);
  if (after.server !== kept.server && nodes.length > 0) {
    throw new SovereignError({
      code: 'tailnet-server-changed',
      what: `${nodes.map(([service]) => service).join(', ')} is logged in with another control server`,
      on: after.server ?? "Tailscale's own server",
      hint: `Run sovereign tailnet logout ${nodes[0]?.[0] ?? ''} first`,
      exit: 2,
    });
  }
  if (typeof ca === 'string' && after.server === undefined) {
    throw wrong(
      "an authority of your own vouches for a control server of your own, and Tailscale's is set",
      '--tailnet-ca',
      'Add --tailnet-server URL',
    );
  }
  if (key !== undefined) requireFits(key, after);
  return after;
}

/**
 * Whether a key can log a node in with these settings.
 * @throws SovereignError `bad-tailnet-key` with exit 2
 */
export function requireFits(key: string, { server, tags }: TailnetSettings): void {
  const bad = (what: string, hint: string): SovereignError =>
    new SovereignError({ code: 'bad-tailnet-key', what, hint, exit: 2 });
  if (key.startsWith('tskey-client-') && tags === undefined) {
    throw bad('the secret of an OAuth client makes tagged nodes only', 'Add --tailnet-tags tag:sovereign');
  }
  if (server === undefined && !key.startsWith('tskey-')) {
    throw bad(
      'this is no key of Tailscale',
      'Wanted: tskey-auth-… or tskey-client-…; for a control server of your own add --tailnet-server URL',
    );
  }
}
