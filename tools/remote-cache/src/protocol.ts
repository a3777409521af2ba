/**
 * Nx's protocol for self-hosted remote caches (nx.dev, "Self-Host the Remote Cache"), with one header more: the digest
 * of the body as RFC 9530 writes it, since Nx's own client checks none.
 */

/** The key of an address of the protocol; Nx's hashes are 64-bit numbers in decimal, and nothing else is a key. */
export function keyOf(url: string): string | undefined {
  return /^\/v1\/cache\/(\d{1,20})$/.exec(url)?.[1];
}

export const DIGEST = 'repr-digest';

/** The value of the header for 64 hex digits. */
export const digestHeader = (sha256: string): string =>
  `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`;

/** 64 hex digits, or undefined where the header names none. */
export function readDigest(header: string | string[] | undefined): string | undefined {
  const value = /(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):/.exec([header].flat().join(','))?.[1];
  return value === undefined ? undefined : Buffer.from(value, 'base64').toString('hex');
}

/** Content-Length as a number; undefined where it is missing or none. */
export function readLength(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}
