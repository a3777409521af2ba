import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { SovereignError } from '@sovereign/report';

/** Longest file with a certificate that is taken, in characters; those of today have less than 10,000. */
const LENGTH = 65_536;
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^]+?-----END \1-----/g;

/**
 * A certificate with its chain and its key as a guest wants them: first the certificate, then who signed it, then the
 * key, and nothing else of what was given. Pure.
 * @throws SovereignError `bad-certificate` with exit 2, without the key in it
 */
export function checkCertificate(name: string, text: string, now = Date.now()): string {
  if (text.length > LENGTH) throw bad(name, `it has more than ${LENGTH} characters`);
  const blocks = [...text.replaceAll('\r', '').matchAll(BLOCK)].map(([block, label = '']) => ({
    block,
    label,
  }));
  const keys = blocks.filter(({ label }) => label.endsWith('PRIVATE KEY'));
  const chain = blocks.filter(({ label }) => label === 'CERTIFICATE').map(({ block }) => block);
  const [key] = keys;
  if (chain.length === 0) throw bad(name, 'there is no certificate in it');
  if (key === undefined) throw bad(name, 'the key is not in it');
  if (keys.length > 1) throw bad(name, 'there is more than one key in it');
  if (key.label.startsWith('ENCRYPTED') || key.block.includes('ENCRYPTED')) {
    throw bad(name, 'the key has a passphrase, which a guest that starts by itself does not know');
  }
  const certificates = chain.map((block) => parse(name, 'a certificate', () => new X509Certificate(block)));
  const secret: KeyObject = parse(name, 'the key', () => createPrivateKey(key.block));
  const [first] = certificates;
  if (first?.checkPrivateKey(secret) !== true) {
    throw bad(name, 'the key is not the one of the first certificate in it');
  }
  certificates.slice(1).forEach((signer, index) => {
    if (certificates[index]?.checkIssued(signer) !== true) {
      throw bad(name, `certificate ${index + 2} did not sign the one before it`);
    }
  });
  if (new Date(first.validTo).getTime() <= now) throw bad(name, `it ended on ${first.validTo}`);
  return [...chain, key.block].join('\n');
}

function parse<T>(name: string, what: string, read: () => T): T {
  try {
    return read();
  } catch {
    // No cause: it might quote the key.
    throw bad(name, `${what} cannot be read`);
  }
}

const bad = (name: string, what: string): SovereignError =>
  new SovereignError({
    code: 'bad-certificate',
    what: `this is no certificate for a web service: ${what}`,
    on: name,
    hint: 'Wanted on standard input, in PEM: the certificate, those that signed it in order, and its key without a passphrase, as `cat fullchain.pem privkey.pem` prints them',
    exit: 2,
  });
