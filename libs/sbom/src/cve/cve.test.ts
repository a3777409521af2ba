import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Contents } from '../contents.ts';
import { fetchDocument } from './document.ts';
import { findVulnerabilities } from './index.ts';

let scratch: string;
let server: Server | undefined;
/** Paths that the stand-in was asked for, with the ETag that came along. */
let asked: string[];

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'advisories '));
  asked = [];
  vi.stubEnv('XDG_CACHE_HOME', scratch);
  vi.stubEnv('SOVEREIGN_EVENTS', join(scratch, 'events'));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await stop();
  await rm(scratch, { recursive: true });
});

async function stop(): Promise<void> {
  server?.closeAllConnections();
  await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  server = undefined;
}

/** A stand-in on loopback for a distribution's server. */
async function serve(answer: RequestListener): Promise<string> {
  server = createServer((request, response) => {
    asked.push(`${request.url ?? ''} ${request.headers['if-none-match'] ?? ''}`.trim());
    answer(request, response);
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const serveJson = (documents: Record<string, unknown>) =>
  serve((request, response) => {
    const document = documents[request.url ?? ''];
    if (document === undefined) response.writeHead(404).end();
    else response.setHeader('etag', '"1"').end(JSON.stringify(document));
  });

const one = (name: string, version: string, origin = name, originVersion = version) => ({
  name,
  version,
  origin,
  originVersion,
  files: 1,
  bytes: 1,
  stored: 1,
  trimmed: { files: 0, bytes: 0 },
});

const contents = (base: 'alpine' | 'debian', packages: Contents['packages']): Contents => ({
  schema: 1,
  service: 'sql',
  base,
  release: base === 'debian' ? 'trixie' : 'v3.24',
  image: { sha256: 'a'.repeat(64), size: 1 },
  packages,
  trimmed: [],
  unowned: [],
});

/** In the form of the security tracker's JSON. */
const issue = (trixie: object, more: object = {}) => ({
  description: 'a weakness',
  scope: 'remote',
  debianbug: 1,
  releases: {
    trixie: { repositories: { trixie: '1-1' }, ...trixie },
    sid: { status: 'open', urgency: 'low' },
  },
  ...more,
});
const tracker = {
  openssl: {
    'CVE-2025-0001': issue({
      status: 'resolved',
      fixed_version: '3.5.9-1~deb13u2',
      urgency: 'not yet assigned',
    }),
    'CVE-2025-0002': issue({ status: 'resolved', fixed_version: '3.5.9-1~deb13u1', urgency: 'high' }),
    'CVE-2025-0003': issue({ status: 'open', urgency: 'low', nodsa: 'Minor issue', nodsa_reason: '' }),
    'CVE-2025-0004': issue({ status: 'resolved', fixed_version: '0', urgency: 'unimportant' }),
    'CVE-2025-0005': { description: 'of sid alone', releases: { sid: { status: 'open', urgency: 'low' } } },
  },
  bash: { 'CVE-2025-0009': issue({ status: 'open', urgency: 'high' }) },
};

describe("Debian's security tracker", () => {
  const packages = [
    one('libssl3t64', '3.5.9-1~deb13u1+b1', 'openssl', '3.5.9-1~deb13u1'),
    one('openssl-x', '3.5.9-1~deb13u1', 'openssl'),
  ];

  test('names what the source version still has, the fixable first, and nothing of other packages', async () => {
    vi.stubEnv('SOVEREIGN_DEBIAN_SECURITY', `${await serveJson({ '/json': tracker })}/json`);
    const { vulnerabilities, asOf } = await findVulnerabilities(contents('debian', packages));
    expect(vulnerabilities).toEqual([
      {
        id: 'CVE-2025-0001',
        fixed: '3.5.9-1~deb13u2',
        urgency: 'not yet assigned',
        description: 'a weakness',
        origin: 'openssl',
        version: '3.5.9-1~deb13u1',
        packages: ['libssl3t64', 'openssl-x'],
      },
      {
        id: 'CVE-2025-0003',
        urgency: 'low',
        description: 'a weakness',
        origin: 'openssl',
        version: '3.5.9-1~deb13u1',
        packages: ['libssl3t64', 'openssl-x'],
      },
    ]);
    expect(Date.parse(asOf)).not.toBeNaN();
  });

  test.each([[[]], [{ openssl: { 'CVE-1': { releases: 'none' } } }]])(
    'of another form is refused: %j',
    async (data) => {
      vi.stubEnv('SOVEREIGN_DEBIAN_SECURITY', await serveJson({ '/': data }));
      await expect(findVulnerabilities(contents('debian', packages))).rejects.toMatchObject({
        code: 'bad-advisories',
      });
    },
  );
});

describe("Alpine's security database", () => {
  const secdb = (name: string, secfixes: Record<string, string[]>) => ({
    distroversion: 'v3.24',
    reponame: 'main',
    packages: [{ pkg: { name, secfixes } }],
  });

  test('names what was fixed in a later version than the image has, in both repositories', async () => {
    vi.stubEnv(
      'SOVEREIGN_ALPINE_SECDB',
      await serveJson({
        '/v3.24/main.json': secdb('busybox', {
          '1.37.0-r32': ['CVE-2026-0001 GHSA-abcd', 'CVE-2026-0002'],
          '1.37.0-r31': ['CVE-2026-0003'],
          '1.9-r0': ['CVE-2020-0001'],
          '0': ['CVE-2026-0004'],
        }),
        '/v3.24/community.json': secdb('tailscale', { '1.99.0-r0': ['CVE-2026-0005'] }),
      }),
    );
    const packages = [one('busybox-binsh', '1.37.0-r31', 'busybox'), one('tailscale', '1.98.1-r0')];
    const { vulnerabilities } = await findVulnerabilities(contents('alpine', packages));
    expect(vulnerabilities.map(({ id, origin, fixed }) => [id, origin, fixed])).toEqual([
      ['CVE-2026-0001', 'busybox', '1.37.0-r32'],
      ['CVE-2026-0002', 'busybox', '1.37.0-r32'],
      ['CVE-2026-0005', 'tailscale', '1.99.0-r0'],
    ]);
    expect(asked).toEqual(['/v3.24/main.json', '/v3.24/community.json']);
  });

  test('may hold odd entries of packages that the image has not, and none of one that it has', async () => {
    const odd = (name: string) => ({ pkg: { name, secfixes: { '1-r0': null } } });
    const main = {
      packages: [odd('other'), 'no package', ...secdb('busybox', { '2-r0': ['CVE-2026-1'] }).packages],
    };
    const documents = { '/v3.24/main.json': main, '/v3.24/community.json': { packages: [] } };
    vi.stubEnv('SOVEREIGN_ALPINE_SECDB', await serveJson(documents));
    const packages = (name: string) => contents('alpine', [one(name, '1-r0')]);
    expect((await findVulnerabilities(packages('busybox'))).vulnerabilities).toMatchObject([
      { id: 'CVE-2026-1' },
    ]);
    await expect(findVulnerabilities(packages('other'))).rejects.toMatchObject({
      code: 'bad-advisories',
      what: expect.stringContaining('of other cannot be read') as string,
    });
  });
});

describe('security data', () => {
  const source = (url: string) => ({ name: 'the data', url, setting: 'SOVEREIGN_X' });
  const later = (hours: number) => new Date(Date.now() + hours * 3_600_000);

  test('are asked for again after hours only, and sent again only where they changed', async () => {
    const url = await serve((request, response) => {
      if (request.headers['if-none-match'] === '"1"') response.writeHead(304).end();
      else response.setHeader('etag', '"1"').end('{"a":1}');
    });
    await fetchDocument(source(url));
    await fetchDocument(source(url));
    expect(asked).toEqual(['/']);
    const { data, asOf } = await fetchDocument(source(url), later(7));
    expect(asked).toEqual(['/', '/ "1"']);
    expect(data).toEqual({ a: 1 });
    expect(Date.parse(asOf)).toBeGreaterThan(Date.now());
  });

  test('that are not to be had are an error with the place and the setting', async () => {
    const url = await serveJson({});
    await expect(fetchDocument(source(url))).rejects.toMatchObject({
      code: 'no-advisories',
      on: url,
      what: expect.stringContaining('the server answered 404') as string,
      hint: expect.stringContaining('SOVEREIGN_X') as string,
    });
    await stop();
    await expect(fetchDocument(source(url))).rejects.toMatchObject({
      code: 'no-advisories',
      what: expect.stringContaining('ECONNREFUSED') as string,
    });
  });

  test('of an earlier day serve where the server is not reached, with their day', async () => {
    const url = await serveJson({ '/': { a: 1 } });
    const { asOf } = await fetchDocument(source(url));
    await stop();
    expect(await fetchDocument(source(url), later(48))).toEqual({ data: { a: 1 }, asOf });
  });

  test('that were cut do not take the place of the ones before', async () => {
    let cut = false;
    const url = await serve((_request, response) => {
      if (cut) response.writeHead(200, { 'content-length': 100 }).end('{"a":', () => response.destroy());
      else response.end('{"a":1}');
    });
    await fetchDocument(source(url));
    cut = true;
    expect((await fetchDocument(source(url), later(7))).data).toEqual({ a: 1 });
  });
});
