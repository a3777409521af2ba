import { beforeEach, describe, expect, it, vi } from 'vitest';
import { adopt } from './commands/adopt.ts';
import { consentTo, phoneOptions } from './consent.ts';
import { meansPhone } from './device.ts';
import { onPhone, table } from './table.ts';
import { fakeDevice, fakeSession } from './testing/session.ts';

let said: string;
beforeEach(() => {
  said = '';
  const write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
  return () => write.mockRestore();
});

const newPhone = () =>
  fakeDevice({
    id: 'R58',
    kind: 'adb',
    inventory: () => Promise.resolve({ id: undefined, services: [] }),
    preparation: (network) => Promise.resolve(['a boot hook', `network ${network ?? 'vsock'}`]),
  });

describe('a phone that was never used', () => {
  it('is not changed where nobody can be asked', async () => {
    const { session } = fakeSession();
    await expect(consentTo(session, newPhone())).rejects.toMatchObject({ code: 'not-prepared', exit: 2 });
  });

  it('is changed with --yes, after everything was named that will be set', async () => {
    const { session } = fakeSession({ flags: { yes: true }, own: { network: 'tap' } });
    expect(await consentTo(session, newPhone())).toEqual({ SOVEREIGN_CONSENT: 'R58' });
    expect(said).toContain('a boot hook');
    expect(said).toContain('network tap');
  });

  it('is changed when the answer on a terminal is yes, and only then', async () => {
    for (const [answer, wanted] of [
      ['y', { SOVEREIGN_CONSENT: 'R58' }],
      ['n', undefined],
    ] as const) {
      const { session, err } = fakeSession({ tty: true });
      const asked = consentTo(session, newPhone()).catch(() => undefined);
      await expect.poll(() => err()).toContain('use R58? [y/N]');
      session.streams.in.push(`${answer}\n`);
      expect(await asked).toEqual(wanted);
    }
  });
});

it('this machine and a phone that was used before are not asked about', async () => {
  const { session } = fakeSession();
  expect(await consentTo(session, fakeDevice())).toEqual({});
  expect(await consentTo(session, fakeDevice({ kind: 'adb' }))).toEqual({});
});

describe('--network and --dns', () => {
  const options = (own: Record<string, string>) => phoneOptions(fakeSession({ own }).session);

  it('go to the task as they are', () => {
    expect(options({ network: 'tap', dns: '192.0.2.1,2001:db8::1' })).toEqual({
      network: 'tap',
      dns: '192.0.2.1,2001:db8::1',
    });
    expect(options({})).toEqual({});
  });

  it.each<Record<string, string>>([
    { network: 'user' },
    { dns: 'example.org' },
    { dns: '192.0.2.1, 192.0.2.2' },
  ])('%o is a wrong command line', (own) => {
    expect(() => options(own)).toThrow(expect.objectContaining({ code: 'usage', exit: 2 }) as Error);
  });
});

describe('adopt', () => {
  it('asks, and says what was taken over', async () => {
    const device = fakeDevice();
    await expect(adopt(fakeSession({ device }).session)).rejects.toMatchObject({ code: 'not-confirmed' });
    expect(device.did).toEqual([]);
    const { text } = await adopt(fakeSession({ device, flags: { yes: true } }).session);
    expect(text).toContain('taken over from local: sql');
  });
});

it('adb is needed for a phone alone, and QEMU for this machine alone', () => {
  const up = table.find(({ name }) => name === 'up');
  expect(up?.needs).toEqual(['qemu', 'ssh']);
  expect(up === undefined ? [] : onPhone(up)).toEqual(['ssh', 'adb']);
  expect(meansPhone(undefined, {})).toBe(false);
  expect(meansPhone('local', { ANDROID_SERIAL: 'x' })).toBe(false);
  expect(meansPhone('x', {})).toBe(true);
  expect(meansPhone(undefined, { ANDROID_SERIAL: 'x' })).toBe(true);
});
