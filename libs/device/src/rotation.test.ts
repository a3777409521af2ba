import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HEARTBEAT } from '@sovereign/service';
import { describe, expect, test, vi } from 'vitest';
import { readConfigDisk } from './config-disk.ts';
import { HostedDevice } from './device.ts';
import type { Host } from './host.ts';
import { definition, Workstation } from './testing/workstation.ts';

// Each test runs the real launcher, on a machine that may have other work.
vi.setConfig({ testTimeout: 300_000 });

const NAME = 'postgres-password';

/** A device whose guest takes config disks as the real one does. */
class Home extends Workstation {
  /** What the guest's service has now. */
  readonly guest = join(this.folder, 'guest-password');
  readonly sshLog = join(this.folder, 'ssh.log');

  constructor() {
    super();
    this.guestThat('works');
  }

  /** `before` and `behind`: the connection is lost before the guest takes it, or after; `old`: a release without it. */
  guestThat(does: 'works' | 'before' | 'behind' | 'old' | 'refuses'): void {
    const lost = 'echo "Connection closed" >&2; exit 255';
    const ends = {
      works: 'echo applied',
      before: lost,
      behind: lost,
      old: 'echo "sh: not found" >&2; exit 127',
      refuses: 'echo "the service did not take the new settings" >&2; exit 1',
    }[does];
    const takes = does === 'works' || does === 'behind';
    this.program('ssh', [
      `printf '%s\\n' "$@" >>'${this.sshLog}'`,
      `cat >'${this.folder}/sent.tar'`,
      ...(takes ? [`tar -x -O -f '${this.folder}/sent.tar' secrets/${NAME} >'${this.guest}'`] : []),
      ends,
    ]);
  }

  /** The value that the guest's service has; one that was started has that of its disk. */
  has = (): string => readFileSync(this.guest, 'utf8').trim();

  async up(): Promise<void> {
    await this.device.deploy(await this.bundle('healthy'));
    await this.device.start(definition);
    await this.device.waitHealthy(definition, 60);
    writeFileSync(this.guest, await this.value());
  }

  value = (): Promise<string> => this.device.secret(definition, NAME);
  candidates = (device = this.device): Promise<string[]> => device.secrets.candidates(definition, NAME);

  async onDisk(): Promise<string | undefined> {
    const files = await readConfigDisk(readFileSync(join(this.root, 'services/sql/config.img')));
    return files.get(`secrets/${NAME}`)?.trim();
  }

  pid = async (): Promise<number | null | undefined> => (await this.device.status([definition]))[0]?.pid;

  own(...parts: string[]): string {
    const devices = join(this.folder, 'config', 'sovereign', 'devices');
    const id = readdirSync(devices).find((name) => !name.includes('.')) ?? '';
    return join(devices, id, ...parts);
  }
}

const pending = (code = 'change-pending', exit = 1): unknown => expect.objectContaining({ code, exit });

describe('a rotation', () => {
  test('changes the running service: file, disk and guest have the new value, and nothing is left to do', async () => {
    const home = new Home();
    await home.up();
    const [old, pid] = [await home.value(), await home.pid()];
    expect(await home.device.secrets.rotate(definition)).toEqual({
      rotated: [NAME],
      finished: [],
      applied: 'live',
    });
    const now = await home.value();
    expect(now).toMatch(/^[\w-]{32}$/);
    expect(now).not.toBe(old);
    expect(home.has()).toBe(now);
    expect(await home.onDisk()).toBe(now);
    expect(await home.candidates()).toEqual([now]);
    expect(await home.pid()).toBe(pid);
    expect(readFileSync(home.own('secrets.json'), 'utf8')).not.toContain('pending');
    expect(statSync(home.own('secrets.json')).mode & 0o777).toBe(0o600);
    expect(statSync(join(home.root, 'services/sql/config.img')).mode & 0o777).toBe(0o600);
    expect(readFileSync(home.sshLog, 'utf8')).not.toContain(now);
  });

  test('of a service that does not run is taken by its next start', async () => {
    const home = new Home();
    await home.up();
    await home.device.stop(definition, 5);
    const old = await home.value();
    expect(await home.device.secrets.rotate(definition, NAME)).toMatchObject({ applied: 'next-start' });
    const now = await home.value();
    expect(await home.onDisk()).toBe(now);
    expect(await home.candidates()).toEqual([now, old]);
    await home.device.start(definition);
    await home.device.waitHealthy(definition, 60);
    expect(await home.candidates()).toEqual([now]);
    expect(existsSync(home.sshLog)).toBe(false);
  });

  test('on a release that takes settings at a start only restarts the service', async () => {
    const home = new Home();
    await home.up();
    home.guestThat('old');
    const pid = await home.pid();
    expect(await home.device.secrets.rotate(definition)).toMatchObject({ applied: 'restarted' });
    expect(await home.pid()).not.toBe(pid);
    expect(await home.candidates()).toEqual([await home.onDisk()]);
  });

  test('that the guest refuses keeps both values, and says how to go on', async () => {
    const home = new Home();
    await home.up();
    home.guestThat('refuses');
    const old = await home.value();
    await expect(home.device.secrets.rotate(definition)).rejects.toMatchObject({
      code: 'change-pending',
      what: expect.stringContaining('did not take the new settings') as string,
    });
    expect(await home.candidates()).toEqual([await home.value(), old]);
    // Again and again: no third value is made.
    await expect(home.device.secrets.rotate(definition)).rejects.toEqual(pending());
    expect(await home.candidates()).toEqual([await home.value(), old]);
    expect(await home.device.secrets.list(definition)).toMatchObject([
      { name: NAME, description: 'for tests', state: 'made', pending: true },
      { name: HEARTBEAT, state: 'missing', pending: false },
    ]);
  });

  test('of what the owner alone gives is refused', async () => {
    const home = new Home();
    const secrets = [
      { name: 'smtp-password', make: 'owner' as const, deliver: 'plain' as const, description: 'for tests' },
    ];
    const service = { ...definition, secrets };
    await home.device.deploy(await home.bundle('healthy', { secrets }));
    await expect(home.device.secrets.rotate(service, 'smtp-password')).rejects.toEqual(
      pending('owners-secret', 2),
    );
    expect(await home.device.secrets.list(service)).toMatchObject([{ state: 'missing', pending: false }]);
    await expect(home.device.secret(service, 'smtp-password')).rejects.toEqual(pending('secret-not-set'));
    await home.device.secrets.set(service, 'smtp-password', 'a b:c');
    expect(await home.device.secrets.list(service)).toMatchObject([{ state: 'set' }]);
    expect(await home.device.secret(service, 'smtp-password')).toBe('a b:c');
  });
});

test('a value of the owner’s own takes the same way', async () => {
  const home = new Home();
  await home.up();
  expect(await home.device.secrets.set(definition, NAME, 'it’s my own')).toBe('live');
  expect(home.has()).toBe('it’s my own');
  expect(await home.device.secrets.set(definition, NAME, 'it’s my own')).toBe('live');
  for (const bad of ['', 'two\nlines', 'nul\0']) {
    await expect(home.device.secrets.set(definition, NAME, bad)).rejects.toEqual(pending('bad-secret', 2));
  }
  await expect(home.device.secrets.set(definition, 'nothing', 'x')).rejects.toEqual(
    pending('no-such-secret', 2),
  );
  expect(home.has()).toBe('it’s my own');
});

class Cut extends Error {}

/** A host whose process is killed at its n-th work on the device. */
function cutAt(host: Host, n: number): { host: Host; wasCut: () => boolean } {
  let count = 0;
  let cut = false;
  const proxy = new Proxy(host, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function' || name === 'exclusively') {
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      }
      return (...args: unknown[]): unknown => {
        cut ||= ++count >= n;
        if (cut) throw new Cut();
        return (member as (...all: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  return { host: proxy, wasCut: () => cut };
}

/** What finishes a rotation that was cut, by name. */
const cures: Readonly<Record<string, (home: Home, device: HostedDevice) => Promise<unknown>>> = {
  rotate: (_, device) => device.secrets.rotate(definition),
  deploy: async (home, device) => device.deploy(await home.bundle('healthy')),
  start: async (_, device) => {
    await device.start(definition);
    await device.waitHealthy(definition, 60);
  },
};

/** Rotates until it is cut: at work number 1, 2, … on the device, then where the guest is asked. */
async function* cutRotations(home: Home): AsyncGenerator<string> {
  for (let n = 1; ; n++) {
    const { host, wasCut } = cutAt(home.host, n);
    await new HostedDevice(host).secrets.rotate(definition).catch(() => undefined);
    if (!wasCut()) break;
    yield `at work ${n}`;
  }
  for (const where of ['before', 'behind'] as const) {
    home.guestThat(where);
    await new HostedDevice(home.host).secrets.rotate(definition).catch(() => undefined);
    home.guestThat('works');
    yield `${where} the guest takes it`;
  }
}

test.each(Object.keys(cures))('a rotation that is cut anywhere is finished by the next %s', async (cure) => {
  const home = new Home();
  await home.up();
  let old = await home.value();
  let cuts = 0;
  for await (const where of cutRotations(home)) {
    cuts++;
    // Whoever needs the password finds it among these, whatever was cut.
    expect(await home.candidates(), where).toContain(home.has());
    const begun = (await home.candidates()).length > 1;
    const value = await home.value();
    await cures[cure]?.(home, new HostedDevice(home.host));
    expect(await home.candidates(), where).toEqual([home.has()]);
    expect(await home.onDisk(), where).toBe(home.has());
    // What was begun is finished, and nothing new is begun.
    if (begun) expect(home.has(), where).toBe(value);
    else if (cure !== 'rotate') expect(home.has(), where).toBe(old);
    old = home.has();
  }
  expect(cuts).toBeGreaterThan(6);
});

describe('a damaged file', () => {
  test('is left as it is, and its copy is used', async () => {
    const home = new Home();
    await home.up();
    const first = await home.value();
    await home.device.secrets.rotate(definition);
    const copy = JSON.parse(readFileSync(home.own('secrets.json.before'), 'utf8')) as {
      pending: unknown;
    };
    expect(statSync(home.own('secrets.json.before')).mode & 0o777).toBe(0o600);
    expect(copy.pending).toEqual({ sql: { [NAME]: [first] } });
    const now = await home.value();
    writeFileSync(home.own('secrets.json'), '{"schema":1,"serv');
    expect(await home.value()).toBe(now);
    await home.device.deploy(await home.bundle('healthy'));
    expect(await home.onDisk()).toBe(now);
    expect(home.has()).toBe(now);
  });

  test('is kept aside when something is changed', async () => {
    const home = new Home();
    await home.up();
    await home.device.secrets.rotate(definition);
    for (const number of [1, 2]) {
      writeFileSync(home.own('secrets.json'), `damage ${number}`);
      await home.device.secrets.set(definition, NAME, `own ${number}`);
      expect(readFileSync(home.own(`secrets.json.damaged-${number}`), 'utf8')).toBe(`damage ${number}`);
      expect(await home.value()).toBe(`own ${number}`);
    }
  });

  test('whose copy lacks a secret makes no new one', async () => {
    const home = new Home();
    await home.up();
    await home.device.secrets.rotate(definition);
    writeFileSync(home.own('secrets.json'), 'damage');
    writeFileSync(home.own('secrets.json.before'), '{"schema":1,"services":{}}');
    await expect(home.value()).rejects.toEqual(pending('damaged-secrets'));
    await expect(home.device.deploy(await home.bundle('healthy'))).rejects.toEqual(
      pending('damaged-secrets'),
    );
    expect(readFileSync(home.own('secrets.json'), 'utf8')).toBe('damage');
  });

  test('without a good copy stops no service from its start', async () => {
    const home = new Home();
    await home.up();
    await home.device.stop(definition, 5);
    writeFileSync(home.own('secrets.json'), 'damage');
    rmSync(home.own('secrets.json.before'), { force: true });
    await home.device.start(definition);
    await home.device.waitHealthy(definition, 60);
  });
});

test('settings that changed reach a guest that runs', async () => {
  const home = new Home();
  await home.up();
  const before = readFileSync(join(home.root, 'services/sql/config.img'));
  expect(await home.device.applySettings(definition)).toBe('live');
  expect(readFileSync(join(home.root, 'services/sql/config.img')).equals(before)).toBe(true);
  const settings = [{ name: 'log', kind: 'flag' as const, description: 'for tests', default: 'no' }];
  expect(await home.device.applySettings({ ...definition, settings })).toBe('live');
  const files = await readConfigDisk(readFileSync(join(home.root, 'services/sql/config.img')));
  expect(files.get('guest.conf')).toMatch(/\nsetting log no\n$/);
  await home.device.deploy(await home.bundle('healthy', { settings }));
  const deployed = readFileSync(join(home.root, 'services/sql/config.img'));
  expect((await readConfigDisk(deployed)).get('guest.conf')).toBe(files.get('guest.conf'));
  await home.device.stop(definition, 5);
  expect(await home.device.applySettings(definition)).toBe('next-start');
});
