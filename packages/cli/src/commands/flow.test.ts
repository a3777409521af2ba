import { existsSync } from 'node:fs';
import type { Device } from '@sovereign/device';
import { SovereignError } from '@sovereign/report';
import { afterEach, describe, expect, it } from 'vitest';
import { fakeCheckout, type FakeCheckout } from '../testing/checkout.ts';
import { three } from '../testing/services.ts';
import { BUILT, fakeDevice, fakeSession, status as state } from '../testing/session.ts';
import { build, deploy } from './build.ts';
import { test } from './test.ts';
import { up } from './up.ts';

let checkout: FakeCheckout;
afterEach(() => checkout.remove());

const failing = (error: object) =>
  `announce({ state: 'failed', error: ${JSON.stringify(error)} }); process.exit(1);`;

describe('up', () => {
  it('is one run of Nx, then a start that waits for health, and ends with the status', async () => {
    checkout = await fakeCheckout();
    const device = fakeDevice();
    const { json, text } = await up(fakeSession({ root: checkout.root, device }).session);
    expect(await checkout.nxRuns()).toEqual([
      'run-many --targets=deploy --projects=rootfs-sql --outputStyle=stream --skipSync --device=local',
    ]);
    expect(device.did).toEqual(['start sql', 'wait sql 30']);
    expect(json).toMatchObject({ devices: [{ id: 'local', services: [{ name: 'sql', healthy: true }] }] });
    expect(text).toContain('./sovereign connect sql');
  });

  it('starts what it deployed, and no other release', async () => {
    checkout = await fakeCheckout();
    const asked: unknown[] = [];
    const start: Device['start'] = ({ name }, options) => {
      asked.push([name, options]);
      return Promise.resolve();
    };
    await up(fakeSession({ root: checkout.root, device: fakeDevice({ start }) }).session);
    expect(asked).toEqual([['sql', { release: BUILT }]]);
  });

  it('names the device before anything is changed', async () => {
    checkout = await fakeCheckout(
      failing({ exit: 1, code: 'no-space', what: 'no space left', hint: 'free some' }),
    );
    await expect(up(fakeSession({ root: checkout.root }).session)).rejects.toMatchObject({
      code: 'no-space',
    });
    expect(await checkout.events()).toMatch(/^\{[^}]*device: local \(this machine\)/);
  });

  it('starts nothing where the deployment failed', async () => {
    checkout = await fakeCheckout(failing({ exit: 1, code: 'x', what: 'y' }));
    const device = fakeDevice();
    await expect(up(fakeSession({ root: checkout.root, device }).session)).rejects.toThrow();
    expect(device.did).toEqual([]);
  });

  it('is an error with exit 3 where the service does not become healthy', async () => {
    checkout = await fakeCheckout();
    const unhealthy = new SovereignError({ code: 'not-healthy', what: 'no', exit: 3 });
    const device = fakeDevice({ waitHealthy: () => Promise.reject(unhealthy) });
    await expect(up(fakeSession({ root: checkout.root, device }).session)).rejects.toBe(unhealthy);
  });

  it('--dry-run runs nothing and records no choice', async () => {
    checkout = await fakeCheckout();
    const device = fakeDevice();
    const { text } = await up(fakeSession({ root: checkout.root, device, flags: { dryRun: true } }).session);
    expect(text).toContain('nx run-many --targets=deploy');
    expect(text).toContain('start sql on local and wait for health');
    expect(await checkout.nxRuns()).toEqual([]);
    expect(device.did).toEqual([]);
  });

  it('--affected takes only what a change reaches', async () => {
    checkout = await fakeCheckout(`if (argv[0] === 'show') console.log('["rootfs-forgejo","libs"]');`);
    const device = fakeDevice();
    const flags = { affected: true, since: 'HEAD~2' };
    const session = { root: checkout.root, device, flags, services: three, chosen: three };
    await up(fakeSession(session).session);
    const [asked, ran] = await checkout.nxRuns();
    expect(asked).toBe('show projects --affected --json --base=HEAD~2');
    expect(ran).toContain('--projects=rootfs-forgejo ');
    expect(device.did).toEqual(['start forgejo', 'wait forgejo 30']);
  });

  it('--affected that reaches nothing does nothing', async () => {
    checkout = await fakeCheckout(`console.log('[]');`);
    const { json } = await up(fakeSession({ root: checkout.root, flags: { affected: true } }).session);
    expect(json).toEqual({ affected: [] });
    expect(await checkout.nxRuns()).toHaveLength(1);
  });
});

describe('build and deploy', () => {
  it('build needs no device', async () => {
    checkout = await fakeCheckout();
    const { json } = await build(fakeSession({ root: checkout.root }).session);
    expect(json).toEqual({ built: ['sql'] });
    expect(await checkout.nxRuns()).toEqual([
      'run-many --targets=build --projects=rootfs-sql,kernel,device-agent --outputStyle=stream --skipSync',
    ]);
  });

  it('deploy starts nothing', async () => {
    checkout = await fakeCheckout();
    const device = fakeDevice();
    await deploy(fakeSession({ root: checkout.root, device }).session);
    expect(device.did).toEqual([]);
  });
});

describe('test', () => {
  const document = (failed: number) => ({
    device: 'local',
    service: 'sql',
    passed: 1,
    failed,
    skipped: 0,
    checks: [
      { name: 'kernel.sysvipc', result: failed > 0 ? 'fail' : 'pass', detail: 'shmget answered', ms: 12 },
    ],
  });
  /** Leaves the document where it was asked for, as the task does; a failed check fails the task. */
  const verify = (failed: number) =>
    `fs.writeFileSync(/--output=(.*)$/.exec(line)[1], ${JSON.stringify(JSON.stringify(document(failed)))});` +
    (failed > 0 ? failing({ exit: 3, code: 'checks-failed', what: 'checks failed' }) : '');

  it('gives the checks one line each, and 0 where all passed', async () => {
    checkout = await fakeCheckout(verify(0));
    const { json, text, exit } = await test(fakeSession({ root: checkout.root }).session);
    expect(json).toEqual(document(0));
    expect(exit).toBe(0);
    expect(text).toBe(
      'pass  kernel.sysvipc                   12 ms  shmget answered\nsql on local: 1 passed, 0 failed, 0 skipped',
    );
  });

  it('is 3 where a check failed, with the same document', async () => {
    checkout = await fakeCheckout(verify(1));
    const { json, exit } = await test(fakeSession({ root: checkout.root }).session);
    expect(json).toEqual(document(1));
    expect(exit).toBe(3);
  });

  it('of a service that does not run is an error with exit 3, and no check is tried', async () => {
    checkout = await fakeCheckout(verify(0));
    const device = fakeDevice({
      status: () => Promise.resolve([state({ state: 'failed', attention: 'data missing' })]),
    });
    await expect(test(fakeSession({ root: checkout.root, device }).session)).rejects.toMatchObject({
      code: 'not-running',
      what: 'data missing',
      exit: 3,
    });
    expect(await checkout.nxRuns()).toEqual([]);
  });

  it('is an error where the checks could not be run', async () => {
    checkout = await fakeCheckout(
      failing({ exit: 3, code: 'not-running', what: 'the service does not run' }),
    );
    await expect(test(fakeSession({ root: checkout.root }).session)).rejects.toMatchObject({
      code: 'not-running',
      exit: 3,
    });
  });

  it('leaves no file behind', async () => {
    checkout = await fakeCheckout(`${verify(0)} fs.writeFileSync('where', /--output=(.*)$/.exec(line)[1]);`);
    await test(fakeSession({ root: checkout.root }).session);
    const [run = ''] = await checkout.nxRuns();
    expect(existsSync(/--output=(.*)$/.exec(run)?.[1] ?? '/')).toBe(false);
  });
});
