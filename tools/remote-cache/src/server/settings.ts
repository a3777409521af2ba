import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { dataDir } from '@sovereign/store';
import type { S3Options } from './s3.ts';

export interface ServerSettings {
  host: string;
  port: number;
  /** Path of the file of tokens. */
  tokens: string;
  /** Where entries are kept; with `s3`, where they are while they pass. */
  folder: string;
  /** Bytes of all entries in the folder, and of one artifact. */
  limit: number;
  artifactLimit: number;
  s3: S3Options | undefined;
}

export const LISTEN = 'SOVEREIGN_CACHE_LISTEN';
export const TOKENS = 'SOVEREIGN_CACHE_TOKENS';
export const FOLDER = 'SOVEREIGN_CACHE_FOLDER';
export const LIMIT = 'SOVEREIGN_CACHE_LIMIT';
export const ARTIFACT_LIMIT = 'SOVEREIGN_CACHE_ARTIFACT_LIMIT';
export const S3 = 'SOVEREIGN_CACHE_S3';

const units: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** What the environment asks of the server. */
export function readSettings(env: NodeJS.ProcessEnv): ServerSettings {
  const value = (name: string) => (env[name] === '' ? undefined : env[name]);
  const tokens = value(TOKENS);
  if (tokens === undefined) throw bad(TOKENS, 'no file of tokens is named', 'Name one, as docs/ci.md tells');
  const [, host = '', port = ''] =
    /^(?:\[([\da-f:.]+)\]|([\w.-]+)):(\d{1,5})$/i
      .exec(value(LISTEN) ?? '127.0.0.1:8125')
      ?.filter((part, index) => index === 0 || (part as string | undefined) !== undefined) ?? [];
  if (host === '' || Number(port) > 65_535) {
    throw bad(LISTEN, 'this is no address to listen on', 'Write it as HOST:PORT, for example 0.0.0.0:8125');
  }
  const address = value(S3);
  return {
    host,
    port: Number(port),
    tokens,
    folder: value(FOLDER) ?? dataDir('remote-cache'),
    limit: readSize(LIMIT, value(LIMIT) ?? '20G'),
    artifactLimit: readSize(ARTIFACT_LIMIT, value(ARTIFACT_LIMIT) ?? '1G'),
    s3: address === undefined ? undefined : readS3(address, value),
  };
}

function readS3(address: string, value: (name: string) => string | undefined): S3Options {
  const url = URL.parse(address);
  const [, bucket = '', ...prefix] = url?.pathname.replace(/\/$/, '').split('/') ?? [];
  if (url === null || !/^https?:$/.test(url.protocol) || bucket === '' || url.search + url.username !== '') {
    throw bad(
      S3,
      'this is no address of a bucket',
      'Write it as https://HOST/BUCKET or https://HOST/BUCKET/PREFIX',
    );
  }
  const secret = (name: string) => {
    const found = value(name);
    if (found === undefined)
      throw bad(name, 'the key to the bucket is not set', `Set it, or leave ${S3} out`);
    return found;
  };
  return {
    endpoint: url.origin,
    bucket: [bucket, ...prefix].join('/'),
    region: value('AWS_REGION') ?? 'us-east-1',
    accessKeyId: secret('AWS_ACCESS_KEY_ID'),
    secretAccessKey: secret('AWS_SECRET_ACCESS_KEY'),
    sessionToken: value('AWS_SESSION_TOKEN'),
  };
}

function readSize(name: string, text: string): number {
  const [, count = '', unit = ''] = /^([1-9]\d{0,11})([KMGT]?)$/.exec(text) ?? [];
  const size = Number(count) * (units[unit] ?? 0);
  if (count === '' || !Number.isSafeInteger(size)) {
    throw bad(name, `${text} is no size`, 'Write bytes, or a number with K, M, G or T, for example 20G');
  }
  return size;
}

/** Where bytes are that only pass. */
export const passing = (settings: ServerSettings): string => join(settings.folder, 'passing');

const bad = (on: string, what: string, hint: string): SovereignError =>
  new SovereignError({ code: 'bad-setting', what, on, hint, exit: 2 });
