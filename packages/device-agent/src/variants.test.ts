import { describe } from 'vitest';
import { type Shell, shells } from './testing/device-folder.ts';
import { PATIENT, test } from './testing/launcher-test.ts';

const crosvm = { control: 'file', 'extended-exit': 'yes', 'variant-exit': '35' };

describe.concurrent.for(Object.keys(shells) as Shell[])('under %s', { timeout: 180_000 }, (shell) => {
  test('a VMM may open the control channel by itself', async ({ expect, service }) => {
    const device = service(shell, 'healthy+file', crosvm);
    await device.start();
    await device.until({ state: 'running', health: 'ok' });
    await device.stop(10);
    expect(await device.status()).toMatchObject({ state: 'stopped', 'exit-reason': 'stop' });
    expect(device.journal().at(-1)).toBe('stop');
  });

  test('a VMM that ends its reading at the first end of file hears who adopts it', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'ill');
    device.slot('b', 'healthy+file', { ...crosvm, 'trial-spacing': '3' });
    device.write('trial', 'b 0 - 0\n');
    await device.start();
    const { pid, launcher } = await device.until({ health: 'ok', trial: 'yes' });
    process.kill(Number(launcher), 'SIGKILL');
    await device.until({ state: 'running', current: 'b', pid: pid ?? '' });
    await expect.poll(() => device.journal(), PATIENT).toContain('open');
    expect((await device.stop(10)).stderr).toBe('');
    expect(await device.status()).toMatchObject({ state: 'stopped', 'exit-reason': 'stop' });
    expect(device.journal().filter((line) => /power-on .* healthy|^stop/.test(line))).toHaveLength(2);
  });

  test('such a VMM also hears a new launcher', async ({ expect, service }) => {
    const device = service(shell, 'healthy+file', crosvm);
    device.install('old');
    await device.start();
    const { pid } = await device.until({ state: 'running' });
    device.install('new');
    await expect.poll(() => device.read('log/launcher.log'), PATIENT).toMatch(/launcher new has taken over/);
    await device.until({ state: 'running', pid: pid ?? '' });
    await device.stop(10);
    expect(await device.status()).toMatchObject({ state: 'stopped', 'exit-reason': 'stop' });
  });

  test('the spelling that was good last is tried first, and the others where it is refused', async ({
    expect,
    service,
  }) => {
    const device = service(shell, ['refuses+file', 'healthy+file'], crosvm);
    await device.start();
    await device.until({ state: 'running', restarts: '0' });
    expect(device.read('log/launcher.log')).toMatch(
      /refused the arguments of variant 1, the VMM said: .*Unrecognized argument: --new: trying variant 2/,
    );
    await device.stop(10);
    await device.start();
    await device.until({ state: 'running' });
    const starts = () => device.journal().flatMap((line) => /^power-on \d+ (\w+)/.exec(line)?.[1] ?? []);
    expect(starts()).toEqual(['refuses', 'healthy', 'healthy']);

    // The plan is another one: what was remembered is not its variant.
    await device.stop(10);
    device.slot('a', ['healthy+file', 'refuses+file'], crosvm);
    device.write('state/variant', `2 ${device.read('state/variant')?.split(' ')[1] ?? ''}\n`);
    await device.start();
    await device.until({ state: 'running' });
    expect(starts().slice(3)).toEqual(['healthy']);
  });

  test('an update of the VMM in the night that refuses what it took before does not end the service', async ({
    expect,
    service,
  }) => {
    const device = service(shell, ['healthy+file', 'refuses+file'], crosvm);
    await device.start();
    await device.until({ state: 'running' });
    await device.stop(10);
    device.write('state/variant', (device.read('state/variant') ?? '').replace(/^1/, '2') + '\n');
    await device.start();
    await device.until({ state: 'running', restarts: '0' });
    expect(device.read('state/variant')).toMatch(/^1 /);
  });

  test('where the guest ends before it speaks, fewer CPUs are tried, and kept', async ({
    expect,
    service,
  }) => {
    const device = service(shell, ['early-33+file', 'healthy+file', 'healthy+file'], {
      ...crosvm,
      variant: ['1 2', '2 2', '3 1'],
    });
    await device.start();
    await device.until({ state: 'running', restarts: '0' });
    expect(device.read('state/variant')).toMatch(/^3 [0-9a-f]{64}$/);
    expect(device.read('log/launcher.log')).toMatch(
      /variant 1 \(2 CPUs\) ended before the guest spoke: crash: trying variant 3/,
    );
  });

  test('no variant is left to try: given up loudly', async ({ expect, service }) => {
    const device = service(shell, ['refuses+file', 'refuses+file'], { ...crosvm, restarts: '1' });
    await device.start();
    expect(await device.until({ state: 'failed' })).toMatchObject({
      'exit-reason': 'bad arguments',
      attention: expect.stringMatching(
        /gave up after 2 starts.*: bad arguments, exit status 35.*Unrecognized argument/,
      ) as string,
    });
  });

  test.for([
    ['32', 'reset', null],
    ['33', 'crash', /starting again in 1 s/],
    ['34', 'guest panic', /starting again in 1 s/],
    ['36', 'watchdog', /starting again in 1 s/],
    ['137', 'signal 9', null],
    ['1', 'exit status 1', null],
  ] as const)(
    'exit status %s is a %s, and is answered as such',
    async ([status, reason, pause], { expect, service }) => {
      const device = service(shell, `ends-${status}+file`, crosvm);
      await device.start();
      await device.until({ restarts: /[1-9]/, 'exit-reason': reason });
      await device.until({ state: 'running', restarts: /[1-9]/ });
      const log = device.read('log/launcher.log') ?? '';
      expect(log).toContain(`exit status ${status} (${reason})`);
      if (pause === null) expect(log).not.toMatch(/starting again in/);
      else expect(log).toMatch(pause);
    },
  );

  test.for(['control sometimes', 'extended-exit maybe', 'variant 1', 'variant one 2', 'variant 1 2 3'])(
    'the line `%s` of a plan is refused',
    async (line, { expect, service }) => {
      const [key = '', ...value] = line.split(' ');
      const device = service(shell, 'healthy', { [key]: value.join(' ') });
      expect(await device.start()).toMatchObject({
        status: 1,
        stderr: expect.stringContaining(`'${line}' is not for this launcher or service`) as string,
      });
    },
  );
});
