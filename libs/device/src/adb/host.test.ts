import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { releaseId, type Release } from '@sovereign/service';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { pruneStore } from '../artifacts.ts';
import { capabilitiesOf } from '../testing/phone.ts';
import { definition, postgresPort, Workstation } from '../testing/workstation.ts';
import { HostedDevice } from '../device.ts';
import { PhoneFolder } from '../testing/phone-folder.ts';
import { lockDevice } from './lock.ts';
import { upload } from './put.ts';
import type { PhoneShell } from './shell.ts';

vi.setConfig({ testTimeout: 120_000 });

const CONSENT = { consent: true };
const failure = (code: string, exit = 1): unknown => expect.objectContaining({ code, exit });
const service = ({ root }: PhoneFolder, ...parts: string[]): string =>
  join(root, 'services', 'sql', ...parts);
const stored = ({ root }: PhoneFolder): string[] => readdirSync(join(root, 'store')).sort();

/** The release in slot a is this one, is current, and has its files. */
function expectKept(phone: PhoneFolder, release: Release): void {
  expect(readFileSync(service(phone, 'current'), 'utf8')).toBe('a\n');
  const kept = JSON.parse(readFileSync(service(phone, 'a', 'release.json'), 'utf8')) as Release;
  expect(kept).toEqual(release);
  for (const { sha256 } of [kept.kernel, kept.root, kept.network?.gvproxy.arm64 ?? kept.kernel]) {
    expect(stored(phone)).toContain(sha256);
  }
}

function setUp() {
  const workstation = new Workstation();
  const phone = new PhoneFolder();
  const notes: string[] = [];
  const write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    notes.push(String(text));
    return true;
  });
  onTestFinished(() => {
    write.mockRestore();
  });
  return { workstation, phone, notes };
}

describe('a deploy', () => {
  test('brings a release, and what the launcher needs to know', async () => {
    const { workstation, phone } = setUp();
    const bundle = await workstation.bundle('healthy');
    const report = await phone.device().deploy(bundle, CONSENT);
    expect(report).toMatchObject({ release: releaseId(bundle.release), slot: 'a', changed: true });
    const conf = readFileSync(join(phone.root, 'device.conf'), 'utf8');
    expect(conf).toMatch(/^kind adb$/m);
    expect(conf).toMatch(/^network vsock$/m);
    expect(conf).toContain(`gvproxy ${bundle.release.network?.gvproxy.arm64.sha256}\n`);
    expect(conf).toMatch(/^reserve 512$/m);
    expect(readFileSync(join(phone.root, 'net', 'gvproxy.yaml'), 'utf8')).toContain('192.168.127.1');
    expect(readFileSync(service(phone, 'a', 'launch'), 'utf8')).toContain(`\npublish ${postgresPort} 5432\n`);
    expect(stored(phone)).toContain(bundle.release.network?.gvproxy.arm64.sha256);
    expect(readFileSync(service(phone, 'config.img'), 'latin1')).toContain('192.168.127.191 other\n');
    const disk = statSync(service(phone, 'data.img'));
    expect(disk.mode & 0o777).toBe(0o600);
    // In full: 512-byte blocks.
    expect(disk.blocks * 512).toBeGreaterThanOrEqual(disk.size);
    const uuid = readFileSync(service(phone, 'data.id'), 'utf8').trim();
    expect(readFileSync(service(phone, 'data.img')).subarray(0, 128).toString().replace(/\0+$/, '')).toBe(
      `sovereign-new ${uuid}\n`,
    );
  });

  test('of what is there already sends nothing, changes nothing, and asks the phone five times', async () => {
    const { workstation, phone } = setUp();
    const bundle = await workstation.bundle('healthy');
    await phone.device().deploy(bundle, CONSENT);
    phone.count = 0;
    const again = await phone.device().deploy(bundle);
    expect(again).toMatchObject({ changed: false, bytesSent: 0 });
    // Lock, look, status, digests; the probe that a real phone also needs is a stand-in here.
    expect(phone.count).toBeLessThanOrEqual(4);
  });

  test('leaves the launcher’s reserve, so that it is not what stops a service; what came already counts', async () => {
    const { workstation, phone } = setUp();
    const bundle = await workstation.bundle('healthy');
    const free = (mebibytes: number) =>
      phone.program('stat', [
        `case "$*" in -f*) echo "${mebibytes * 256} 4096";; *) exec /usr/bin/toybox stat "$@";; esac`,
      ]);
    // The data disk takes 64 MiB, the reserve is 512.
    free(64 + 511);
    await expect(phone.device().deploy(bundle, CONSENT)).rejects.toEqual(failure('no-space'));
    const part = join(phone.root, 'store', `${bundle.release.root.sha256}.part`);
    mkdirSync(join(part, '..'));
    writeFileSync(part, Buffer.alloc(2 ** 21));
    expect(await phone.device().deploy(bundle, CONSENT)).toMatchObject({ changed: true });
  });

  test('of another network says what it means, and leaves no slot and no service with a mixture of two', async () => {
    const { workstation, phone, notes } = setUp();
    const other = { ...definition, name: 'other', net: { index: 191 }, ports: [] };
    await phone.device().deploy(await workstation.bundle('healthy'), CONSENT);
    await phone.device().deploy(await workstation.bundle('healthy', other));
    await phone.device().deploy(await workstation.bundle('healthy two'), { network: 'tap' });
    expect(notes.join('')).toMatch(/network of phone is tap from now on/);
    for (const slot of ['a', 'b']) {
      expect(readFileSync(service(phone, slot, 'launch'), 'utf8')).toMatch(/^tap sov-sql$/m);
      expect(readFileSync(service(phone, slot, 'argv.1'), 'utf8')).toContain('tap-name=');
    }
    await expect(phone.device().start(other)).rejects.toMatchObject({
      code: 'other-network',
      hint: 'Run sovereign deploy other',
    });
  });

  test('of another network is refused before anything is changed while another service runs', async () => {
    const { workstation, phone } = setUp();
    const other = { ...definition, name: 'other', net: { index: 191 }, ports: [] };
    await phone.device().deploy(await workstation.bundle('healthy'), CONSENT);
    await phone.device().deploy(await workstation.bundle('healthy', other));
    // As the launcher tells of a machine that runs: this process is one.
    const state = join(phone.root, 'services', 'other', 'state');
    mkdirSync(state, { recursive: true });
    const stat = readFileSync(`/proc/${process.pid}/stat`, 'utf8');
    // The name in parentheses may hold spaces.
    const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    writeFileSync(join(state, 'pid'), `${process.pid}\n`);
    writeFileSync(join(state, 'start'), `${start}\n`);
    writeFileSync(join(state, 'boot'), readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'));
    const conf = readFileSync(join(phone.root, 'device.conf'), 'utf8');
    const next = await workstation.bundle('healthy two');
    await expect(phone.device().deploy(next, { network: 'tap' })).rejects.toMatchObject({
      code: 'network-in-use',
      what: expect.stringMatching(/from vsock to tap, and other would lose it/) as string,
      hint: expect.stringContaining('sovereign stop other') as string,
    });
    expect(readFileSync(join(phone.root, 'device.conf'), 'utf8')).toBe(conf);
    // And the choice is not remembered either.
    expect(await phone.device().deploy(next)).toMatchObject({ changed: true });
    expect(readFileSync(join(phone.root, 'device.conf'), 'utf8')).toBe(conf);
  });

  test('keeps the network program that the device runs or goes back to, though no slot names it any more', async () => {
    const { workstation, phone } = setUp();
    const digest = 'd'.repeat(64);
    const good = '9'.repeat(64);
    await phone.device().deploy(await workstation.bundle('healthy'), CONSENT);
    const gvproxy = readFileSync(join(phone.root, 'device.conf'), 'utf8').replace(
      /gvproxy .*/,
      `gvproxy ${digest}`,
    );
    writeFileSync(join(phone.root, 'net', 'good'), `${good}\n`);
    for (const name of [digest, good, 'e'.repeat(64)]) writeFileSync(join(phone.root, 'store', name), name);
    writeFileSync(join(phone.root, 'device.conf'), gvproxy);
    await pruneStore(phone.host());
    expect(stored(phone)).toContain(digest);
    expect(stored(phone)).toContain(good);
    expect(stored(phone)).not.toContain('e'.repeat(64));
  });

  test('to a phone that was never used needs a yes, and changes nothing without', async () => {
    const { workstation, phone } = setUp();
    const bundle = await workstation.bundle('healthy');
    await expect(phone.device().deploy(bundle)).rejects.toEqual(failure('not-prepared', 2));
    expect(existsSync(phone.root)).toBe(false);
  });

  test('of a second service sends nothing of what the first one brought', async () => {
    const { workstation, phone } = setUp();
    await phone.device().deploy(await workstation.bundle('healthy'), CONSENT);
    const other = await workstation.bundle('another root', { name: 'other', net: { index: 191 }, ports: [] });
    const { bytesSent } = await phone.device().deploy(other);
    expect(bytesSent).toBe('another root'.length);
    expect(readdirSync(join(phone.root, 'services')).sort()).toEqual(['other', 'sql']);
  });

  test('and then a status is one round trip', async () => {
    const { workstation, phone } = setUp();
    await phone.device().deploy(await workstation.bundle('healthy'), CONSENT);
    phone.count = 0;
    const [state] = await phone.device().status([definition]);
    expect(phone.count).toBe(1);
    expect(state).toMatchObject({
      state: 'stopped',
      slot: 'a',
      endpoints: [{ url: `postgresql://postgres@127.0.0.1:${postgresPort}/postgres` }],
    });
  });

  test('brings the files of a slot in one round trip, or none of them', async () => {
    const { phone } = setUp();
    const host = phone.host();
    const folder = join(phone.root, 'services', 'sql', 'a');
    await host.writeFolder('services/sql/a', { launch: 'one\n', 'argv.1': 'crosvm\n' });
    expect(phone.count).toBe(1);
    phone.cutInput = 700;
    await expect(host.writeFolder('services/sql/a', { launch: 'two\n' })).rejects.toEqual(
      failure('adb-lost', 4),
    );
    await phone.quiet();
    expect(readdirSync(join(folder, '..'))).toEqual(['a']);
    expect(readFileSync(join(folder, 'launch'), 'utf8')).toBe('one\n');
    phone.cutInput = undefined;
    await host.writeFolder('services/sql/a', { launch: 'two\n' });
    expect(readdirSync(folder)).toEqual(['launch']);
  });

  test('finds a file that was damaged in the store, and sends it again', async () => {
    const { workstation, phone } = setUp();
    const bundle = await workstation.bundle('healthy');
    await phone.device().deploy(bundle, CONSENT);
    writeFileSync(join(phone.root, 'store', bundle.release.kernel.sha256), 'damaged');
    expect(await phone.device().deploy(bundle)).toMatchObject({ bytesSent: 'kernel'.length });
    expect(readFileSync(join(phone.root, 'store', bundle.release.kernel.sha256), 'utf8')).toBe('kernel');
  });

  test('that meets the end of a trial finds the device without it', async () => {
    const { workstation, phone } = setUp();
    await phone.device().deploy(await workstation.bundle('healthy one'), CONSENT);
    await phone.device().deploy(await workstation.bundle('healthy two'));
    const trial = service(phone, 'trial');
    expect(existsSync(trial)).toBe(true);
    // The launcher, between the look for the file and its reading.
    phone.program('tar', [`/usr/bin/toybox rm -f '${trial}'`, 'exec /usr/bin/toybox tar "$@"']);
    const host = phone.host();
    const read = (name: string) => host.read(`services/sql/${name}`).then((content) => content?.toString());
    expect(await host.exclusively(async () => [await read('trial'), await read('current')])).toEqual([
      undefined,
      'a\n',
    ]);
  });

  test('refuses what this phone cannot run before the first byte', async () => {
    const { workstation, phone } = setUp();
    const bundle = await workstation.bundle('healthy');
    const host = phone.host();
    host.command = () => Promise.reject(new Error('an option that no variant can express'));
    await expect(new HostedDevice(host).deploy(bundle, CONSENT)).rejects.toThrow('no variant');
    expect(existsSync(join(phone.root, 'store'))).toBe(false);
  });

  test('by two workstations at once is done one after the other, and the second says whom it waits for', async () => {
    const { workstation, phone, notes } = setUp();
    const bundle = await workstation.bundle('healthy');
    await phone.device().deploy(bundle, CONSENT);
    const next = await workstation.bundle('healthy two');
    const waiting = /waiting: \S+@\S+ since \S+, process \d+ changes phone/;
    const held = phone
      .host()
      .exclusively(() => expect.poll(() => notes.join(''), { timeout: 30_000 }).toMatch(waiting));
    const owner = join(phone.root, 'lock.owner');
    // Until it is written: one that is there and empty names nobody.
    await expect.poll(() => existsSync(owner) && readFileSync(owner, 'utf8')).toMatch(/, process \d+\n/);
    const reports = await Promise.all([phone.device().deploy(next), phone.device().deploy(next), held]).then(
      ([one, other]) => [one, other],
    );
    expect(reports.map(({ changed }) => changed).sort()).toEqual([false, true]);
    expect(existsSync(owner)).toBe(false);
  });
});

describe('a transfer', () => {
  /** Not compressible, so that bytes of the file are bytes on the wire. */
  const noise = Buffer.from(randomBytes(300_000).map((byte) => byte & 127));

  async function large() {
    const all = setUp();
    const bundle = await all.workstation.bundle(noise.toString('latin1'));
    return { ...all, bundle, root: bundle.release.root };
  }

  test('goes on where it was cut', async () => {
    const { phone, bundle, root } = await large();
    phone.cutInput = 150_000;
    await expect(phone.device().deploy(bundle, CONSENT)).rejects.toEqual(failure('adb-lost', 4));
    const part = join(phone.root, 'store', `${root.sha256}.part`);
    await phone.quiet();
    const there = statSync(part).size;
    expect(there).toBeGreaterThan(50_000);
    phone.cutInput = undefined;
    const counts: number[] = [];
    const host = phone.host();
    const sent = await host.put(bundle.files.root, `store/${root.sha256}`, root.sha256, (count) =>
      counts.push(count),
    );
    expect(sent).toBe(statSync(bundle.files.root).size - there);
    expect(counts[0]).toBe(there);
    expect(counts.reduce((sum, count) => sum + count)).toBe(statSync(bundle.files.root).size);
    expect(readFileSync(join(phone.root, 'store', root.sha256))).toEqual(readFileSync(bundle.files.root));
    expect(existsSync(part)).toBe(false);
  });

  test('that went on from damaged bytes is done once more from the beginning', async () => {
    const { phone, bundle, root } = await large();
    await phone.device().deploy(await new Workstation().bundle('healthy'), CONSENT);
    writeFileSync(join(phone.root, 'store', `${root.sha256}.part`), 'not the beginning of it');
    const counts: number[] = [];
    await phone
      .host()
      .put(bundle.files.root, `store/${root.sha256}`, root.sha256, (count) => counts.push(count));
    expect(readFileSync(join(phone.root, 'store', root.sha256))).toEqual(readFileSync(bundle.files.root));
  });

  test('is compressed where it pays, and whole in the end', async () => {
    const { phone, workstation } = setUp();
    const bundle = await workstation.bundle('the same words again and again\n'.repeat(20_000));
    phone.program('cat', ['echo "cat $*" >>"${0%/bin/*}/cats"', 'exec /usr/bin/toybox cat "$@"']);
    phone.program('gunzip', ['echo gunzip >>"${0%/bin/*}/cats"', 'exec /usr/bin/toybox gunzip "$@"']);
    await phone.device().deploy(bundle, CONSENT);
    expect(readFileSync(join(phone.folder, 'cats'), 'utf8')).toContain('gunzip');
    expect(readFileSync(join(phone.root, 'store', bundle.release.root.sha256))).toEqual(
      readFileSync(bundle.files.root),
    );
  });

  test('of a file that is not the one that was built leaves nothing of it', async () => {
    const { phone, workstation } = setUp();
    const bundle = await workstation.bundle('healthy');
    writeFileSync(bundle.files.root, 'changed after the build');
    await expect(phone.device().deploy(bundle, CONSENT)).rejects.toEqual(failure('wrong-digest'));
    expect(stored(phone)).toEqual([bundle.release.kernel.sha256]);
    expect(existsSync(service(phone, 'current'))).toBe(false);
  });
});

describe('a phone on which nothing goes on', () => {
  const file = (phone: PhoneFolder) => {
    const local = join(phone.folder, 'file');
    writeFileSync(local, randomBytes(2 ** 20));
    const onBytes = () => undefined;
    return { local, path: join(phone.root, 'store', 'file'), sha256: 'f'.repeat(64), onBytes };
  };

  test('ends a transfer of which it takes nothing, with what to do next', async () => {
    const { phone } = setUp();
    phone.program('cat', ['exec /usr/bin/toybox sleep 60']);
    const limits = { byte: 3000, end: 60_000 };
    await expect(upload(phone, 'phone', file(phone), limits)).rejects.toMatchObject({
      code: 'adb-stalled',
      what: 'the phone has taken nothing of the file for 3 s',
      hint: expect.stringContaining('plug it in again') as string,
      exit: 4,
    });
  });

  test('ends a transfer that it never says to have kept', async () => {
    const { phone } = setUp();
    phone.program('sha256sum', ['exec /usr/bin/toybox sleep 60']);
    const limits = { byte: 60_000, end: 3000 };
    await expect(upload(phone, 'phone', file(phone), limits)).rejects.toMatchObject({
      code: 'adb-stalled',
      what: expect.stringContaining('the whole file') as string,
    });
  });

  test('ends the wait for its lock, whoever has it or not', async () => {
    const { phone } = setUp();
    mkdirSync(phone.root);
    const holder = await lockDevice(phone, 'phone', phone.root);
    const limits = { answer: 60_000, busy: 500 };
    await expect(lockDevice(phone, 'phone', phone.root, limits)).rejects.toMatchObject({
      code: 'phone-busy',
      what: expect.stringContaining(hostname()) as string,
      hint: expect.stringContaining('plug it in again') as string,
    });
    await holder.release();
    await (await lockDevice(phone, 'phone', phone.root)).release();
    phone.program('flock', ['exec /usr/bin/toybox sleep 60']);
    await expect(lockDevice(phone, 'phone', phone.root, { answer: 500, busy: 60_000 })).rejects.toMatchObject(
      { code: 'adb-stalled' },
    );
  });

  test('is told also where it does not even take a script', async () => {
    const hanging: PhoneShell = { start: () => new Promise(() => undefined) };
    const { phone } = setUp();
    await expect(upload(hanging, 'phone', file(phone), { byte: 100, end: 100 })).rejects.toMatchObject({
      code: 'adb-stalled',
    });
    await expect(lockDevice(hanging, 'phone', phone.root, { answer: 100, busy: 100 })).rejects.toMatchObject({
      code: 'adb-stalled',
    });
  });
});

describe('a phone that is full', () => {
  test('is found out before the first byte, the data disk counted in', async () => {
    const { phone, workstation } = setUp();
    phone.program('stat', ['case "$*" in -f*) echo "16384 4096";; *) exec /usr/bin/toybox stat "$@";; esac']);
    // 64 MiB are free, which the data disk alone needs.
    await expect(phone.device().deploy(await workstation.bundle('healthy'), CONSENT)).rejects.toEqual(
      failure('no-space'),
    );
    expect(existsSync(join(phone.root, 'store'))).toBe(false);
  });

  test.for(['cat', 'gunzip', 'fallocate', 'tar', 'mkdir'])(
    'while %s writes is an error that a second run repairs',
    async (tool) => {
      const { phone, workstation } = setUp();
      const first = await workstation.bundle('healthy '.repeat(4000));
      const full = [`echo "${tool}: write: No space left on device" >&2`, 'exit 1'];
      phone.program(
        tool,
        tool === 'mkdir'
          ? ['case "$*" in *store*) ;; *) exec /usr/bin/toybox mkdir "$@";; esac', ...full]
          : full,
      );
      await expect(phone.device().deploy(first, CONSENT)).rejects.toMatchObject({ exit: 1 });
      expect(existsSync(service(phone, 'current'))).toBe(false);
      phone.restore(tool);
      expect(await phone.device().deploy(first, CONSENT)).toMatchObject({ slot: 'a', changed: true });
      expect(stored(phone).filter((name) => name.endsWith('.part'))).toEqual([]);
    },
  );
});

test('a phone that is full from any round trip of a second release on keeps the last good one; with space it goes on', async () => {
  const { phone, workstation } = setUp();
  const first = await workstation.bundle('healthy one');
  await phone.device().deploy(first, CONSENT);
  const uuid = readFileSync(service(phone, 'data.id'), 'utf8');
  let failures = 0;
  for (let at = 1; ; at++) {
    const next = await workstation.bundle(`healthy number ${at}`);
    phone.count = 0;
    phone.full = at;
    const error: unknown = await phone
      .device()
      .deploy(next)
      .then(() => undefined)
      .catch((thrown: unknown) => thrown);
    phone.full = Infinity;
    expectKept(phone, first.release);
    if (phone.count < at) break;
    if (error !== undefined) {
      expect(error).toMatchObject({ exit: 1 });
      failures += 1;
    }
    await phone.device().deploy(next);
    const [state] = await phone.device().status([definition]);
    expect(state).toMatchObject({ slot: 'b', release: releaseId(next.release), trial: true });
  }
  expect(failures).toBeGreaterThan(4);
  expect(readFileSync(service(phone, 'data.id'), 'utf8')).toBe(uuid);
  expect(stored(phone).filter((name) => name.endsWith('.part'))).toEqual([]);
});

describe('a deploy that is cut off at any round trip', () => {
  test.for(['before', 'after'] as const)(
    '(%s it) leaves the last good release; a second one goes on',
    async (when) => {
      const { phone, workstation } = setUp();
      const first = await workstation.bundle('healthy one');
      let cuts = 0;
      for (let at = 1; ; at++) {
        phone.count = 0;
        phone.cut = { at, when };
        const error: unknown = await phone
          .device()
          .deploy(first, CONSENT)
          .then(() => undefined)
          .catch((thrown: unknown) => thrown);
        phone.cut = undefined;
        if (error === undefined) break;
        expect(error).toEqual(failure('adb-lost', 4));
        cuts += 1;
        // Each cut is one of a first deploy, until that would take a data disk away.
        if (!existsSync(service(phone, 'data.id'))) rmSync(phone.root, { recursive: true, force: true });
        if (existsSync(service(phone, 'current'))) break;
      }
      expect(cuts).toBeGreaterThan(8);
      await phone.device().deploy(first, CONSENT);
      const uuid = readFileSync(service(phone, 'data.id'), 'utf8');

      cuts = 0;
      for (let at = 1; ; at++) {
        const next = await workstation.bundle(`healthy number ${at}`);
        phone.count = 0;
        phone.cut = { at, when };
        const cut = await phone
          .device()
          .deploy(next)
          .then(
            () => false,
            () => true,
          );
        phone.cut = undefined;
        expectKept(phone, first.release);
        if (!cut) break;
        cuts += 1;
        await phone.device().deploy(next);
        const [state] = await phone.device().status([definition]);
        expect(state).toMatchObject({ slot: 'b', release: releaseId(next.release), trial: true });
      }
      expect(cuts).toBeGreaterThan(6);
      expect(readFileSync(service(phone, 'data.id'), 'utf8')).toBe(uuid);
      expect(stored(phone).filter((name) => name.endsWith('.part'))).toEqual([]);
    },
  );
});

describe('the device', () => {
  test('says when what it runs on was updated since the last deploy', async () => {
    const { phone, workstation } = setUp();
    phone.program('getprop', ['echo vendor/phone:15']);
    await phone.device().deploy(await workstation.bundle('healthy'), CONSENT);
    const platform = join(phone.root, 'platform');
    const attention = async () => (await phone.device().status([definition]))[0]?.attention;
    expect(readFileSync(platform, 'utf8')).toContain('virt');
    expect(await attention()).toMatch(/platform changed/);
    writeFileSync(platform, 'vendor/phone:15 virt none crosvm none\n');
    expect(await attention()).toBeUndefined();
  });

  test('says when its boot hook is gone', async () => {
    const { phone, workstation } = setUp();
    const host = phone.host();
    const hook = join(phone.folder, 'hook');
    host.settings = () => Promise.resolve({ reserve: 0, awake: false, hook });
    writeFileSync(hook, '');
    await new HostedDevice(host).deploy(await workstation.bundle('healthy'), CONSENT);
    const attention = async () => (await phone.device().status([definition]))[0]?.attention ?? '';
    expect(await attention()).not.toMatch(/boot hook/);
    rmSync(hook);
    expect(await attention()).toMatch(/the boot hook is gone/);
  });

  test('is left as it was found once its last service is removed', async () => {
    const { phone, workstation } = setUp();
    const device = phone.device();
    await device.deploy(await workstation.bundle('healthy'), CONSENT);
    await device.remove(definition, { data: false });
    expect(readdirSync(service(phone)).sort()).toEqual(['data.id', 'data.img']);
    for (const name of ['device.conf', 'net', 'keeper', 'platform'])
      expect(readdirSync(phone.root)).not.toContain(name);
    await device.remove(definition, { data: true });
    expect(existsSync(phone.root)).toBe(false);
    await device.remove(definition, { data: true });
    expect(existsSync(phone.root)).toBe(false);
  });

  test('keeps what is not ours, and says so', async () => {
    const { phone, workstation, notes } = setUp();
    await phone.device().deploy(await workstation.bundle('healthy'), CONSENT);
    appendFileSync(join(phone.root, 'sovereign_start.sh'), '# of the predecessor\n');
    await phone.device().remove(definition, { data: true });
    expect(readdirSync(phone.root)).toEqual(['sovereign_start.sh']);
    expect(notes.join('')).toContain(`left alone in ${phone.root}, since it is not ours: sovereign_start.sh`);
  });

  test('keeps nothing of what a connection that was cut left half written', async () => {
    const { phone, workstation, notes } = setUp();
    await phone.device().deploy(await workstation.bundle('healthy'), CONSENT);
    for (const name of ['device.conf', 'platform', 'device.json', 'ports.json'])
      writeFileSync(join(phone.root, `${name}.tmp`), 'half');
    await phone.device().remove(definition, { data: true });
    expect(existsSync(phone.root)).toBe(false);
    expect(notes.join('')).not.toContain('left alone');
  });

  test('is taken over by another workstation, with its passwords and host keys', async () => {
    const { phone, workstation } = setUp();
    const bundle = await workstation.bundle('healthy');
    const device = phone.device();
    await device.deploy(bundle, CONSENT);
    const password = await device.secret(definition, 'postgres-password');
    vi.stubEnv('XDG_CONFIG_HOME', join(workstation.folder, 'another'));
    await expect(device.deploy(bundle)).rejects.toEqual(failure('no-secrets'));
    expect(await device.adopt()).toEqual(['sql']);
    expect(await device.adopt()).toEqual([]);
    expect(await device.secret(definition, 'postgres-password')).toBe(password);
    expect(await device.deploy(bundle)).toMatchObject({ changed: false });
  });

  test('is taken over service by service: what another workstation brought is asked for, not made anew', async () => {
    const { phone, workstation } = setUp();
    const other = { ...definition, name: 'other', net: { index: 191 }, ports: [] };
    const device = phone.device();
    const [sql, second] = [await workstation.bundle('healthy'), await workstation.bundle('healthy', other)];
    await device.deploy(sql, CONSENT);
    vi.stubEnv('XDG_CONFIG_HOME', join(workstation.folder, 'another'));
    await device.adopt();
    await device.deploy(second);
    const password = await device.secret(other, 'postgres-password');
    vi.stubEnv('XDG_CONFIG_HOME', join(workstation.folder, 'config'));
    expect(await device.deploy(sql)).toMatchObject({ bytesSent: 0 });
    await expect(device.deploy(second)).rejects.toEqual(failure('no-secrets'));
    expect(await device.adopt()).toEqual(['other']);
    expect(await device.secret(other, 'postgres-password')).toBe(password);
    await device.deploy(second);
  });

  test('that goes away while it is taken over is taken over whole by the next try', async () => {
    const { phone, workstation } = setUp();
    const other = { ...definition, name: 'other', net: { index: 191 }, ports: [] };
    await phone.device().deploy(await workstation.bundle('healthy'), CONSENT);
    await phone.device().deploy(await workstation.bundle('healthy', other));
    vi.stubEnv('XDG_CONFIG_HOME', join(workstation.folder, 'another'));
    for (let at = 1; ; at++) {
      phone.count = 0;
      phone.cut = { at, when: 'before' };
      const adopted = await phone
        .device()
        .adopt()
        .catch(() => undefined);
      phone.cut = undefined;
      if (adopted === undefined) continue;
      expect(adopted).toEqual(['other', 'sql']);
      break;
    }
  });

  test('is started without an uplink', async () => {
    const { phone, workstation } = setUp();
    await phone.device().deploy(await workstation.bundle('healthy'), CONSENT);
    const host = phone.host();
    host.capabilities = () => Promise.resolve(capabilitiesOf(15, { root: 'userdebug', dns: [] }));
    // It gets as far as the launcher, which finds no gvproxy and no crosvm on this machine.
    const error = await new HostedDevice(host).start(definition).catch((thrown: unknown) => thrown);
    expect(error).not.toEqual(failure('no-resolver'));
    await phone.device().stop(definition, 1);
  });
});
