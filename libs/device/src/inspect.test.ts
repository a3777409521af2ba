import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HostInspector } from './inspect.ts';
import { LocalHost } from './local/host.ts';
import { definition } from './testing/workstation.ts';

let root: string;
let inspector: HostInspector;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sovereign inspect '));
  inspector = new HostInspector(new LocalHost(root));
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A stand-in for the launcher: `body` finds its arguments. */
function launcher(body: string): void {
  mkdirSync(join(root, 'agent/x'), { recursive: true });
  writeFileSync(join(root, 'agent/current'), 'x\n');
  writeFileSync(join(root, 'agent/x/launch.sh'), body);
}

function log(name: string, text: string): void {
  mkdirSync(join(root, 'services/sql/log'), { recursive: true });
  writeFileSync(join(root, 'services/sql/log', name), text);
}

test('a device without a launcher has no service, and tells its clock', async () => {
  const { service, device, console, vmm, clock } = await inspector.inspect(definition);
  expect({ service, console, vmm }).toEqual({ service: undefined, console: [], vmm: [] });
  expect(device).toEqual({ clock: String(clock) });
  expect(Math.abs(clock - Date.now() / 1000)).toBeLessThan(60);
});

test('launcher, console and VMM are told in one answer', async () => {
  launcher('echo "- network user"; echo "sql state running"; echo "sql pid 7"; echo "forge state stopped"');
  log('console.log', `${'a line\n'.repeat(100)}the last\r\n`);
  log('early.log', 'before the console\n');
  log('vmm.log', '= console is no section here\nqemu: bad\n');
  const { service, device, console, vmm } = await inspector.inspect(definition);
  expect(service).toEqual({ state: 'running', pid: '7' });
  expect(device.network).toBe('user');
  expect(console).toHaveLength(40);
  expect(console.at(-1)).toBe('the last');
  expect(vmm.at(-1)).toBe('qemu: bad');
});

test('what the kernel said before its console counts while that is empty', async () => {
  log('console.log', '');
  log('early.log', 'Booting Linux\n');
  expect((await inspector.inspect(definition)).console).toEqual(['Booting Linux']);
});

test('a launcher that fails is an error, not an empty answer', async () => {
  launcher('echo "cannot read" >&2; exit 1');
  await expect(inspector.inspect(definition)).rejects.toMatchObject({
    code: 'no-status',
    what: expect.stringContaining('cannot read') as string,
  });
});

test('a question is passed to the launcher word by word, and the guest’s lines come back', async () => {
  launcher('[ "$1 $3 $#" = "ask sql 6" ] || exit 1; echo "clock 7"; echo "words $5 $6"');
  expect(await inspector.askGuest(definition, ['look', 'x'])).toEqual(['clock 7', 'words look x']);
});

test('a guest that does not answer is an error with the launcher’s words; so is a launcher that is too old', async () => {
  launcher('echo "launcher: the guest of sql is silent" >&2; exit 3');
  await expect(inspector.askGuest(definition, ['look'])).rejects.toMatchObject({
    code: 'no-answer',
    what: 'the guest of sql is silent',
    exit: 3,
  });
  launcher('echo "launcher: usage: launch.sh start…" >&2; exit 2');
  await expect(inspector.askGuest(definition, ['look'])).rejects.toMatchObject({
    what: expect.stringContaining('too old') as string,
  });
});

test('the network is made anew by the launcher, and its reason is told where it cannot', async () => {
  launcher('[ "$1" = network ]');
  await inspector.renewNetwork();
  launcher('echo "launcher: gvproxy is missing or damaged in the store" >&2; exit 1');
  await expect(inspector.renewNetwork()).rejects.toMatchObject({
    what: 'gvproxy is missing or damaged in the store',
  });
});
