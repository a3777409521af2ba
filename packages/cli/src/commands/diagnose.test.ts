import { SovereignError } from '@sovereign/report';
import { expect, test } from 'vitest';
import { fakeDevice, fakeSession } from '../testing/session.ts';
import { describeDiagnosis, diagnose, diagnosisExit, targetsOf } from './diagnose.ts';

const inspector = fakeDevice().inspector;

/** A stand-in for a device on which the service was stopped. */
const stopped = () =>
  fakeDevice({
    inspector: {
      ...inspector,
      inspect: () =>
        Promise.resolve({
          service: { state: 'stopped', 'exit-reason': 'stop' },
          device: { network: 'user' },
          console: [],
          vmm: [],
          clock: Date.now() / 1000,
        }),
    },
  });

test('the first layer that fails is named with its cure, and the status is 3', async () => {
  const { session } = fakeSession({ device: stopped() });
  const { json, text, exit } = await diagnose(session);
  expect(exit).toBe(3);
  expect(json).toMatchObject({ device: 'local', service: 'sql', ok: false, reached: true, failed: 'vm' });
  expect(text?.split('\n')).toEqual([
    expect.stringMatching(/^ok {6}device {5}answers/) as string,
    expect.stringMatching(/^FAILED {2}vm {9}no process: sql is stopped/) as string,
    expect.stringMatching(/^ +asked: the launcher/) as string,
    expect.stringMatching(/^ +cure: Run sovereign start sql$/) as string,
    'sql on local: vm fails; what is above it was not asked',
  ]);
});

test('--fix starts what is stopped, says on which device, and asks on', async () => {
  const device = stopped();
  const before = stopped().inspector;
  device.inspector.inspect = async (service) => {
    const seen = await before.inspect(service);
    // Started, and silent: the next layer is asked.
    const running = { ...seen.service, state: 'running', pid: '42', launcher: '40' };
    return device.did.includes('start sql') ? { ...seen, service: running } : seen;
  };
  const { session } = fakeSession({ device, own: { fix: true } });
  const { json, text } = await diagnose(session);
  expect(device.did).toEqual(['start sql', 'wait sql 30']);
  expect(json).toMatchObject({ failed: 'console' });
  expect(text).toMatch(/^ok {6}vm .*\n +done: start the service$/m);
});

test('a device that is not reached is status 4', async () => {
  const gone = new SovereignError({ code: 'no-device', what: 'the phone is not attached', exit: 4 });
  const device = fakeDevice({ inspector: { ...inspector, inspect: () => Promise.reject(gone) } });
  const { json, exit } = await diagnose(fakeSession({ device }).session);
  expect(exit).toBe(4);
  expect(json).toMatchObject({ reached: false, failed: 'device' });
});

test('what was skipped is not called well', () => {
  const text = describeDiagnosis({
    device: 'local',
    service: 'sql',
    reached: true,
    ok: true,
    failed: null,
    layers: [{ name: 'login', result: 'skipped', asked: 'x', evidence: 'the tailnet is off', ms: 0 }],
  });
  expect(text).toBe(
    '-       login      the tailnet is off\nsql on local: every layer is well; 1 not counted: off, or not to be told from here',
  );
  expect(diagnosisExit({ ok: true, reached: true, device: '', service: '', failed: null, layers: [] })).toBe(
    0,
  );
});

test('a guest is asked for the control server of its tailnet first', async () => {
  const { tailnet } = fakeDevice();
  const withServer = (server?: string) =>
    fakeDevice({
      tailnet: { ...tailnet, settings: () => Promise.resolve(server === undefined ? {} : { server }) },
    });
  const targets = (server?: string) =>
    targetsOf(withServer(server), () => Promise.resolve(['mirror.example']));
  expect(await targets('http://control.lab:8080')).toEqual([
    { host: 'control.lab', port: 8080 },
    { host: 'mirror.example', port: 443 },
    { host: 'example.com', port: 443 },
  ]);
  expect((await targets())[0]).toEqual({ host: 'controlplane.tailscale.com', port: 443 });
  expect((await targets('https://control.lab'))[0]).toEqual({ host: 'control.lab', port: 443 });
});

test('without a tailnet, for what this workstation fetches from', async () => {
  const targets = await targetsOf(fakeDevice(), () => Promise.resolve(['mirror.example']));
  expect(targets.map(({ host }) => host)).toEqual(['mirror.example', 'example.com']);
});
