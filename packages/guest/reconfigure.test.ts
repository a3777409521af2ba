import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { shells, StandInGuest } from './testing/scripts.ts';

describe.each(shells)('a new config disk under %s', (_name, shell) => {
  let guest: StandInGuest;

  beforeEach(() => {
    guest = new StandInGuest(shell);
    guest.write('service.conf', 'schema 1\nname sql\nunits agent network ssh data postgresql second\n');
    expect(reconfigure(disk({})).stderr).toBe('config foreign: it is of another service\n');
    guest.write('config/guest.conf', conf());
    guest.program('apply', `echo "apply $(cat '${guest.path('config/secrets/password')}')" >>'${calls()}'`);
    guest.program('rc-service', `echo "rc-service $*" >>'${calls()}'; echo " * noise"`);
  });

  afterEach(() => guest.remove());

  const calls = (): string => guest.path('calls');
  const conf = (hostname = 'sql', uuid = '1f'): string => `data-uuid ${uuid}\nhostname ${hostname}\n`;

  /** The bytes of a disk: a tar, filled up with zeros. */
  function disk(files: Record<string, string>): Buffer {
    const folder = guest.path('made');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(join(folder, 'secrets'), { recursive: true });
    const all = { schema: '1\n', 'guest.conf': conf(), 'secrets/password': 'new word\n', ...files };
    for (const [name, content] of Object.entries(all)) writeFileSync(join(folder, name), content);
    const tar = execFileSync('tar', ['-c', '--format=ustar', '-C', folder, ...Object.keys(all)]);
    return Buffer.concat([tar], 256 * 1024);
  }

  const reconfigure = (input: Buffer) => guest.call('reconfigure', [], input);
  /** What is beside the settings and belongs there no more. */
  const left = (): string[] => readdirSync(guest.folder).filter((name) => /^config.|^unapplied/.test(name));

  test('takes the place of the old one, and the service applies it', () => {
    guest.write('config/gone', 'of before');
    const { status, stdout } = reconfigure(disk({ hosts: '192.168.127.3 vault\n' }));
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'applied\n' });
    expect(guest.read('calls')).toBe('apply new word\n');
    expect(guest.read('config/secrets/password')).toBe('new word\n');
    expect(existsSync(guest.path('config/gone'))).toBe(false);
    expect(statSync(guest.path('config')).mode & 0o777).toBe(0o700);
    expect(guest.read('hosts')).toContain('127.0.1.1 sql\n192.168.127.3 vault\n');
    expect(left()).toEqual([]);
  });

  test('that is the same changes nothing', () => {
    reconfigure(disk({}));
    expect(reconfigure(disk({})).stdout).toBe('applied\n');
    expect(guest.read('calls')).toBe('apply new word\n');
  });

  test('with another heartbeat, or the first one, leaves the service alone', () => {
    reconfigure(disk({}));
    const before = guest.read('calls');
    for (const address of ['https://monitor.example/a\n', 'off\n']) {
      expect(reconfigure(disk({ 'secrets/heartbeat': address })).stdout).toBe('applied\n');
      expect(guest.read('config/secrets/heartbeat')).toBe(address);
    }
    expect(guest.read('calls')).toBe(before);
    reconfigure(disk({ 'secrets/heartbeat': 'https://monitor.example/b\n', 'secrets/password': 'other\n' }));
    expect(guest.read('config/secrets/heartbeat')).toBe('https://monitor.example/b\n');
    expect(guest.read('calls')).toBe(`${before}apply other\n`);
    expect(left()).toEqual([]);
  });

  test('restarts the units of a service that cannot apply it by itself', () => {
    rmSync(guest.path('bin/apply'));
    expect(reconfigure(disk({})).stdout).toBe('applied\n');
    expect(guest.read('calls')).toBe('rc-service postgresql restart\nrc-service second restart\n');
  });

  test('that the service did not take is taken by the next try', () => {
    guest.program('apply', 'exit 1');
    expect(reconfigure(disk({}))).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'the service did not take the new settings\n',
    });
    guest.program('apply', `echo again >>'${calls()}'`);
    expect(reconfigure(disk({})).stdout).toBe('applied\n');
    expect(guest.read('calls')).toBe('again\n');
    expect(left()).toEqual([]);
  });

  test('that is cut between the two renames is done again', () => {
    renameSync(guest.path('config'), guest.path('config.old'));
    expect(reconfigure(disk({})).stdout).toBe('applied\n');
    expect(guest.read('calls')).toBe('apply new word\n');
    expect(left()).toEqual([]);
  });

  test.each([
    ['no tar', Buffer.from('nothing of the kind'), 'config damaged: the config disk holds no readable'],
    ['nothing', Buffer.alloc(0), 'config damaged: the config disk holds no readable settings'],
  ])('that is %s leaves everything as it was', (_what, bytes, reason) => {
    const { status, stderr } = reconfigure(bytes);
    expect(status).toBe(1);
    expect(stderr).toContain(reason);
    expect(guest.read('config/guest.conf')).toBe(conf());
    expect(guest.read('calls')).toBe('');
    expect(left()).toEqual([]);
  });

  test('of another service, or with a schema that is no number, leaves everything as it was', () => {
    const foreign = reconfigure(disk({ 'guest.conf': conf('sql', '2f') }));
    expect(foreign).toMatchObject({ status: 1, stderr: 'config foreign: it is of another service\n' });
    expect(reconfigure(disk({ schema: 'x\n' })).stderr).toBe('config damaged: its schema is no number\n');
    expect(guest.read('config/guest.conf')).toBe(conf());
    expect(left()).toEqual([]);
  });

  test('says nothing secret, neither where it works nor where it fails', () => {
    const worked = reconfigure(disk({}));
    guest.program('apply', 'exit 1');
    const failed = reconfigure(disk({ 'secrets/password': 'planted word\n' }));
    for (const { stdout, stderr } of [worked, failed]) expect(stdout + stderr).not.toMatch(/word/);
  });
});
