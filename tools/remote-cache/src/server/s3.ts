import { AwsV4Signer } from 'aws4fetch';
import { ask, discard, shortText, type Got } from '../http.ts';
import { readLength } from '../protocol.ts';
import { Spool } from '../spool.ts';
import { BadBody, compare, type Found, type Incoming, type Storage, type Stored } from './storage.ts';

export interface S3Options {
  /** Scheme, host and port. */
  endpoint: string;
  /** Bucket, and with it a prefix where there is one. */
  bucket: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string | undefined;
}

export interface S3Limits {
  /** Without a byte in either direction for so long the store counts as gone, in milliseconds. */
  silence: number;
  /** The same where an object is written: the store answers once it has it on its disks. */
  silenceWriting: number;
  /** The longest that one exchange may take, in milliseconds. */
  longest: number;
}

const usual: S3Limits = { silence: 15_000, silenceWriting: 120_000, longest: 10 * 60_000 };

/** Where the digest of an object is kept: the store's own checksums differ from store to store. */
const META = 'x-amz-meta-sha256';

/**
 * Entries as objects of a bucket that the server alone writes to. Bytes pass through a file without a name: an object
 * is checked in full before a byte of it is given, and hashed before it is sent, since the store is told its digest.
 * How much is kept is the bucket's own matter (a lifecycle rule).
 */
export class S3Storage implements Storage {
  readonly #options: S3Options;
  readonly #folder: string;
  readonly #artifactLimit: number;
  readonly #limits: S3Limits;

  constructor(options: S3Options, folder: string, artifactLimit: number, limits: S3Limits = usual) {
    this.#options = options;
    this.#folder = folder;
    this.#artifactLimit = artifactLimit;
    this.#limits = limits;
  }

  async get(key: string): Promise<Found | undefined> {
    const got = await this.#ask('GET', key);
    if (got.status === 404) {
      discard(got);
      return undefined;
    }
    if (got.status !== 200) throw await this.#refused('reading', got);
    const said = { size: readLength(got.headers['content-length']), sha256: String(got.headers[META] ?? '') };
    const spool = await Spool.of(got.body, this.#folder, this.#artifactLimit);
    if (spool.sha256 === said.sha256 && spool.size === said.size) {
      return {
        size: spool.size,
        sha256: spool.sha256,
        sendTo: (target) => spool.sendTo(target),
        close: () => spool.close(),
      };
    }
    await spool.close();
    throw new Error(`the store gave other bytes than were stored (SHA-256 ${spool.sha256})`);
  }

  async has(key: string): Promise<boolean> {
    const got = await this.#ask('HEAD', key);
    discard(got);
    if (got.status === 200) return true;
    if (got.status === 404) return false;
    throw new Error(`asking the store: status ${got.status}`);
  }

  async put(key: string, incoming: Incoming): Promise<Stored> {
    const spool = await Spool.of(incoming.body, this.#folder, incoming.size);
    try {
      compare(incoming, spool);
      const got = await this.#ask('PUT', key, spool);
      // Somebody else was first; 409: is being first right now.
      if (got.status === 412 || got.status === 409) {
        discard(got);
        return 'exists';
      }
      if (got.status !== 200) throw await this.#refused('writing', got);
      discard(got);
      return 'stored';
    } finally {
      await spool.close();
    }
  }

  async check(): Promise<void> {
    // No entry has this key; that it is not there is an answer.
    await this.has('0');
  }

  async #ask(method: 'GET' | 'HEAD' | 'PUT', key: string, spool?: Spool): Promise<Got> {
    const { endpoint, bucket, region, accessKeyId, secretAccessKey, sessionToken } = this.#options;
    const signer = new AwsV4Signer({
      method,
      url: `${endpoint}/${bucket}/${key}`,
      service: 's3',
      region,
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
      // Signed with the rest: other bytes, or a second write of the key, are refused by the store.
      headers: {
        'x-amz-content-sha256': spool?.sha256 ?? EMPTY,
        ...(spool === undefined ? {} : { [META]: spool.sha256, 'if-none-match': '*' }),
      },
      allHeaders: true,
    });
    const { url, headers } = await signer.sign();
    return ask({
      url,
      method,
      headers: {
        ...Object.fromEntries(headers),
        ...(spool === undefined ? {} : { 'content-length': String(spool.size) }),
      },
      ...(spool === undefined ? {} : { body: spool }),
      silence: spool === undefined ? this.#limits.silence : this.#limits.silenceWriting,
      signal: AbortSignal.timeout(this.#limits.longest),
    });
  }

  /** The code of S3's error document tells more than its status. */
  async #refused(what: string, got: Got): Promise<Error> {
    const text = await shortText(got).catch(() => '');
    const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? '';
    return got.status === 400 && code.includes('Digest')
      ? new BadBody(code)
      : new Error(`${what} the store: status ${got.status} ${code}`.trimEnd());
  }
}

/** SHA-256 of nothing. */
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
