import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { askDevice, parseMemory } from './device-report.ts';
import { requireMemory } from './memory.ts';
import { definition, Workstation } from './testing/workstation.ts';

const guest = (name: string, memory: number) => ({ name, resources: { memory, cpus: 1 } });
const all = [guest('sql', 256), guest('vault', 128), guest('forge', 512)];
const runs = (...names: string[]) => new Map(names.map((name) => [name, { state: 'running', pid: '7' }]));
const refusal = (what: RegExp): unknown =>
  expect.objectContaining({ code: 'no-memory', what: expect.stringMatching(what) as string });

test('two services at once on too little memory are refused with the arithmetic', () => {
  const report = { agent: runs(), memory: { available: 600, guests: 0 } };
  const [, vault, forge] = all;
  if (vault === undefined || forge === undefined) throw new Error('there are three');
  expect(() => requireMemory('local', report, [vault, forge], all)).toThrow(
    refusal(/vault 128 \+ forge 512 = 640 MiB, and the device has 600 MiB for guests$/),
  );
  requireMemory('local', report, [forge], all);
});

test('what runs counts with all of its memory, and what it holds already is not counted twice', () => {
  const vault = all.slice(1, 2);
  const report = { agent: runs('sql'), memory: { available: 250, guests: 100 } };
  expect(() => requireMemory('local', report, vault, all)).toThrow(
    refusal(/sql 256 \(runs\) \+ vault 128 = 384 MiB, .* 350 MiB .*, of which running guests hold 100/),
  );
  requireMemory('local', { ...report, memory: { available: 250, guests: 134 } }, vault, all);
});

test('what runs already is never refused, and a device that does not tell is believed', () => {
  requireMemory('local', { agent: runs('sql'), memory: { available: 1, guests: 0 } }, all.slice(0, 1), all);
  requireMemory('local', { agent: runs(), memory: undefined }, all, all);
});

test('a device tells its memory with everything else, in kB of /proc', async () => {
  expect(parseMemory('available 2048 kB\nguest sql 1024 kB\nguest vault 512 kB\n')).toEqual({
    available: 2,
    guests: 1,
  });
  expect(parseMemory('')).toBeUndefined();
  const { host } = new Workstation();
  expect((await askDevice(host)).memory?.available).toBeGreaterThan(0);
});

test('what a machine holds is what all of its processes hold', async () => {
  const { host } = new Workstation();
  const machine = spawn('sh', ['-c', 'sleep 1000 & wait'], { detached: true, stdio: 'ignore' });
  const { pid } = machine;
  if (pid === undefined) throw new Error('it was not started');
  onTestFinished(() => void process.kill(-pid));
  const state = join(host.root, 'services/sql/state');
  mkdirSync(state, { recursive: true });
  writeFileSync(join(state, 'pid'), `${pid}\n`);
  const rss = (one: number | string) =>
    Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${one}/status`, 'utf8'))?.[1]) * 1024;
  const child = () => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  await expect.poll(child).toMatch(/^\d+$/);
  const missing = async () => rss(pid) + rss(child()) - ((await askDevice(host)).held.get('sql') ?? 0);
  await expect.poll(missing).toBe(0);
});

test('a device that has too little is asked before the first start', async () => {
  const { device } = new Workstation();
  const huge = { ...definition, resources: { memory: 1_000_000_000, cpus: 1 } };
  await expect(device.startOrder([huge], [huge])).rejects.toEqual(refusal(/sql 1000000000 = 1000000000 MiB/));
  expect(await device.startOrder([definition], [definition])).toEqual([definition]);
});
