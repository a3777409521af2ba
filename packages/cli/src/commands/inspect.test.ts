import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Device } from '@sovereign/device';
import { SovereignError } from '@sovereign/report';
import type { Contents } from '@sovereign/sbom';
import { releaseId, releaseSchema, writeManifest, type FoundService } from '@sovereign/service';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { service } from '../testing/services.ts';
import { fakeDevice, fakeSession } from '../testing/session.ts';
import { inspect } from './inspect.ts';

let scratch: string;
let sql: FoundService;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'inspect '));
  sql = { ...service('sql', 2), folder: join(scratch, 'rootfs-sql') };
  vi.stubEnv('XDG_CACHE_HOME', join(scratch, 'cache'));
  vi.stubEnv('XDG_DATA_HOME', join(scratch, 'data'));
  vi.stubEnv('SOVEREIGN_EVENTS', join(scratch, 'events'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(scratch, { recursive: true });
});

const hex = (digit: string): string => digit.repeat(64);

const contents = (sha256: string, packages: Record<string, string>): Contents => ({
  schema: 1,
  service: 'sql',
  base: 'debian',
  release: 'trixie',
  image: { sha256, size: 30_000_000 },
  packages: Object.entries(packages).map(([name, version], index) => ({
    name,
    version,
    origin: name,
    originVersion: version,
    files: 1,
    bytes: 2_000_000,
    stored: (index + 1) * 1_000_000,
    trimmed: { files: 2, bytes: 500_000 },
  })),
  trimmed: [{ glob: 'usr/share/doc', reason: 'documentation', files: 2, bytes: 500_000 }],
  unowned: [{ path: 'etc/ours', bytes: 10, stored: 10, source: 'overlay' }],
});

async function build(made: Contents): Promise<void> {
  const dist = join(sql.folder, 'dist');
  await mkdir(dist, { recursive: true });
  await writeFile(join(dist, 'root.contents.json'), JSON.stringify(made));
  await writeManifest(dist, {
    schema: 1,
    kind: 'root',
    service: 'sql',
    base: 'debian',
    version: '1',
    image: { name: 'root.erofs', ...made.image },
    contents: { name: 'root.contents.json', sha256: hex('0'), size: 1 },
  });
}

const release = (sha256: string) =>
  releaseSchema.parse({
    schema: 1,
    service: 'sql',
    base: 'debian',
    version: '1',
    kernel: { sha256: hex('1'), size: 1 },
    root: { sha256, size: 29_000_000 },
    agent: { sha256: hex('2') },
    data: { kind: 'sql', major: 1, collation: 'none' },
    resources: { memory: 1, cpus: 1 },
    controlProtocol: 1,
    configSchema: 1,
  });

const run = (device: Device, own: Record<string, unknown> = {}) =>
  inspect(fakeSession({ device, chosen: [sql], own }).session);

describe('inspect', () => {
  it('lists packages by what they take, what was trimmed and why, and what no package owns', async () => {
    await build(contents(hex('a'), { small: '1-1', large: '2-1' }));
    const { text = '', json } = await run(fakeDevice());
    expect(text).toMatch(/^sql, debian trixie: 30\.00 MB, 4\.00 MB unpacked, image aaaaaaaaaaaa\n/);
    expect(text.indexOf('large 2-1')).toBeLessThan(text.indexOf('small 1-1'));
    expect(text).toContain('2.00 MB   2.00 MB   0.50 MB  large 2-1');
    expect(text).toContain('/etc/ours (overlay)');
    expect(text).toContain('0.50 MB  documentation (usr/share/doc)');
    expect(json).toMatchObject({
      service: 'sql',
      before: null,
      packages: [{ name: 'large' }, { name: 'small' }],
    });
  });

  it('compares with the release of the device that is another one', async () => {
    await build(contents(hex('a'), { kept: '1', gone: '1', raised: '1' }));
    await mkdir(join(scratch, 'data/sovereign/images'), { recursive: true });
    await writeFile(
      join(scratch, 'data/sovereign/images', `${hex('a')}.json`),
      JSON.stringify(contents(hex('a'), { kept: '1', gone: '1', raised: '1' })),
    );
    await build(contents(hex('b'), { kept: '1', raised: '2', fresh: '1' }));
    const releases = () => Promise.resolve([release(hex('b')), release(hex('a'))]);
    const { text, json } = await run(fakeDevice({ releases }));
    expect(text).toContain(`since release ${releaseId(release(hex('a'))).slice(0, 12)} on local: +1.00 MB`);
    expect(text).toContain('  + fresh 1\n  - gone 1\n  raised 1 -> 2');
    expect(json).toMatchObject({ before: { device: 'local', changes: [{ name: 'fresh' }, {}, {}] } });
  });

  it('says so where it is not known what lies in the release before', async () => {
    await build(contents(hex('b'), { kept: '1' }));
    const { text, json } = await run(fakeDevice({ releases: () => Promise.resolve([release(hex('a'))]) }));
    expect(text).toContain('what lies in that one is not known here');
    expect(json).toMatchObject({ before: { changes: null } });
  });

  it('needs no device', async () => {
    await build(contents(hex('b'), { kept: '1' }));
    const lost = new SovereignError({ code: 'adb-lost', what: 'the phone is gone', exit: 4 });
    const { json } = await run(fakeDevice({ releases: () => Promise.reject(lost) }));
    expect(json).toMatchObject({ before: null });
  });

  it('of what was never built names the command that builds it', async () => {
    await expect(run(fakeDevice())).rejects.toMatchObject({
      code: 'not-built',
      hint: expect.stringContaining('sovereign build sql') as string,
    });
  });

  it('asks for known vulnerabilities only with --cve, and says what they do not cover', async () => {
    await build(contents(hex('b'), { x: '1.0-1' }));
    let asked = 0;
    const server = createServer((_request, response) => {
      asked += 1;
      const releases = (trixie: object) => ({ releases: { trixie } });
      response.end(
        JSON.stringify({
          x: {
            'CVE-2026-1': releases({ status: 'resolved', fixed_version: '1.0-2', urgency: 'high' }),
            'CVE-2026-2': releases({ status: 'open', urgency: 'low' }),
            'CVE-2026-3': releases({ status: 'open', urgency: 'unimportant' }),
          },
        }),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    vi.stubEnv('SOVEREIGN_DEBIAN_SECURITY', `http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await run(fakeDevice());
    expect(asked).toBe(0);
    const { text, json } = await run(fakeDevice(), { cve: true });
    expect(text).toContain(': 1 with a fix, 1 without one');
    expect(text).toContain('  CVE-2026-1  x 1.0-1, fixed in 1.0-2 (high)');
    expect(text).toContain('and 1 that the distribution calls unimportant');
    expect(text).toContain('not covered: the kernel');
    expect(json).toMatchObject({ vulnerabilities: [{ id: 'CVE-2026-1' }, {}, {}] });
  });
});
