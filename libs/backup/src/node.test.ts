import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bundle } from '@sovereign/device';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { backupService } from './create.ts';
import { migrateService } from './migrate.ts';
import { nodePath } from './node.ts';
import { resticProgram } from './program.ts';
import { openRepository } from './repository.ts';
import { listSnapshots } from './restic.ts';
import { listBackups, nodeToRestore, restoreService, type SnapshotOptions } from './restore.ts';
import { definition, DEVICE, NODE, nodeStream, OTHER_DEVICE, StandInGuest, stream } from './testing/guest.ts';

// restic derives its key slowly by design, and each test calls it several times.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 900_000 });
beforeAll(() => resticProgram());

const failure = (code: string, exit = 2): unknown => expect.objectContaining({ code, exit });
const THIRD_DEVICE = '33333333-3333-4333-8333-333333333333';
const LOGGED_IN = { tailnet: NODE };
const STOPPED = { state: 'stopped', healthy: null, pid: null } as const;

/** What a backup leaves, made once and copied, since restic takes its time. */
const made = mkdtempSync(join(tmpdir(), 'sovereign-backed-up-'));
afterAll(() => rmSync(made, { recursive: true }));

/** A guest with a node that is logged in, and what was kept of it. */
async function backedUp(): Promise<StandInGuest> {
  const guest = new StandInGuest();
  guest.tailnet = {};
  if (readdirSync(made).length === 0) {
    await backupService(guest.device(DEVICE, LOGGED_IN), definition, { to: guest.repository });
    cpSync(guest.folder, made, { recursive: true });
    return guest;
  }
  for (const name of ['config', 'repository'])
    cpSync(join(made, name), join(guest.folder, name), { recursive: true });
  guest.write(`config/sovereign/devices/${DEVICE}/backup-repository`, `${guest.repository}\n`);
  return guest;
}

describe('a backup', () => {
  test('keeps the node that is logged in beside the data, the last one alone, and lists the data alone', async () => {
    const guest = await backedUp();
    guest.write('node', nodeStream({ keys: 'newer keys' }));
    const device = guest.device(DEVICE, LOGGED_IN);
    const keep = { daily: 7, weekly: 4, monthly: 6 };
    expect(await backupService(device, definition, { keep })).toMatchObject({ node: NODE.name });
    const repository = await openRepository(DEVICE);
    const nodes = await listSnapshots(repository, { device: DEVICE, path: nodePath('sql') });
    expect(nodes).toHaveLength(1);
    expect(nodes[0]?.about).toEqual({ format: '1', kind: 'tailnet' });
    const backups = await listBackups(device, definition);
    expect(new Set(backups.map(({ path }) => path))).toEqual(new Set(['/sql.sovereign-backup']));
    // None of it is taken for data.
    const wrong = restoreService(device, definition, { snapshot: nodes[0]?.id });
    await expect(wrong).rejects.toEqual(failure('other-service'));
    expect(guest.did).toEqual([]);
  });

  test('keeps none where none is logged in, and is good where it could not be kept', async () => {
    const guest = new StandInGuest();
    const out = guest.device(DEVICE, { tailnet: { state: 'needs-login' } });
    expect(await backupService(out, definition, { to: guest.repository })).toMatchObject({ node: null });
    guest.write('old-release', '');
    const device = guest.device(DEVICE, LOGGED_IN);
    expect(await backupService(device, definition)).toMatchObject({ node: null });
    expect(await listSnapshots(await openRepository(DEVICE), { path: nodePath('sql') })).toEqual([]);
  });
});

describe('a restore', () => {
  test('takes no node along unless it is asked to', async () => {
    const guest = await backedUp();
    await restoreService(guest.device(DEVICE, LOGGED_IN), definition);
    expect([guest.did, existsSync(join(guest.folder, 'node-restored'))]).toEqual([
      ['new disk', 'kept'],
      false,
    ]);
  });

  test('takes the node of the service as it is now, where the backup is of this device', async () => {
    const guest = await backedUp();
    const now = nodeStream({ keys: 'keys of today' });
    guest.write('node', now);
    const device = guest.device(DEVICE, LOGGED_IN);
    const node = await nodeToRestore(device, definition, [device]);
    expect(node).toMatchObject({ from: 'device', device: DEVICE, id: 'n1', name: NODE.name });
    await restoreService(device, definition, { node });
    expect(guest.read('node-restored')).toBe(now);
    expect(guest.did).toEqual(['new disk', 'kept']);
  });

  test('takes the one that was kept, where the service does not run, and on another device', async () => {
    const guest = await backedUp();
    const kept = guest.read('node');
    guest.write('node', 'none');
    for (const [device, of] of [
      [guest.device(DEVICE, STOPPED), undefined],
      [guest.device(OTHER_DEVICE), DEVICE],
    ] as const) {
      const node = await nodeToRestore(device, definition, [], { of });
      expect(node).toMatchObject({ from: 'backup', device: DEVICE, id: 'n1' });
      await restoreService(device, definition, { of, node });
      expect(guest.read('node-restored')).toBe(kept);
    }
  });

  test('on another device, the one that had it no longer counts as logged in', async () => {
    const guest = await backedUp();
    const settings = (id: string) => {
      const folder = join(guest.folder, 'config/sovereign/devices', id);
      mkdirSync(folder, { recursive: true });
      return join(folder, 'settings.json');
    };
    const nodes = { sql: { id: 'n1', name: NODE.name }, vault: { id: 'n2', name: 'vault' } };
    const of = (server?: string) => ({ schema: 1, tailnet: { name: 'desk', server, nodes } });
    writeFileSync(settings(DEVICE), JSON.stringify(of()));
    // Another control server counts for itself.
    writeFileSync(settings(THIRD_DEVICE), JSON.stringify(of('https://control.example')));
    const other = guest.device(OTHER_DEVICE);
    const node = await nodeToRestore(other, definition, [], { of: DEVICE });
    await restoreService(other, definition, { of: DEVICE, node });
    const kept = (id: string): unknown => JSON.parse(readFileSync(settings(id), 'utf8'));
    expect(kept(DEVICE)).toMatchObject({
      tailnet: { nodes: { sql: null, vault: nodes.vault }, out: ['sql'] },
    });
    expect(kept(THIRD_DEVICE)).toMatchObject({ tailnet: { nodes } });
  });

  test('puts the old data back where the guest does not take the node', async () => {
    const guest = await backedUp();
    const device = guest.device(DEVICE, LOGGED_IN);
    const node = await nodeToRestore(device, definition, []);
    guest.write('old-release', '');
    await expect(restoreService(device, definition, { node })).rejects.toMatchObject({
      code: 'node-not-restored',
      what: 'the guest did not take the node: sh: tailnet-node: not found',
    });
    expect(guest.did).toEqual(['new disk', 'old disk']);
  });

  test('leaves no node on a disk whose data is not what was counted', async () => {
    const guest = await backedUp();
    const device = guest.device(DEVICE, LOGGED_IN);
    const node = await nodeToRestore(device, definition, []);
    guest.write('counts', 'count 2 app.public.t\n');
    await expect(restoreService(device, definition, { node })).rejects.toMatchObject({
      code: 'counts-differ',
    });
    expect(existsSync(join(guest.folder, 'node-restored'))).toBe(false);
  });
});

test('data that moves to another format takes the node along, where the release of before gives it', async () => {
  const guest = await backedUp();
  const device = guest.device(DEVICE, LOGGED_IN);
  await migrateService(device, { definition } as Bundle);
  expect(guest.read('node-restored')).toBe(nodeStream());
  rmSync(join(guest.folder, 'node-restored'));
  guest.write('old-release', '');
  expect(await migrateService(device, { definition } as Bundle)).toMatchObject({ rows: 3 });
  expect(existsSync(join(guest.folder, 'node-restored'))).toBe(false);
});

describe('nothing is begun', () => {
  /** What is said of the node for this device and what else there is. */
  const refused = (
    guest: StandInGuest,
    device = guest.device(OTHER_DEVICE),
    options: SnapshotOptions = { of: DEVICE },
    ...others: ReturnType<StandInGuest['device']>[]
  ) => {
    const asked = nodeToRestore(device, definition, others, options);
    return { toBe: (error: unknown) => expect(asked).rejects.toEqual(error) };
  };

  test('where no node was kept', async () => {
    const guest = new StandInGuest();
    guest.tailnet = {};
    await backupService(guest.device(), definition, { to: guest.repository });
    await refused(guest).toBe(failure('no-node-kept'));
    await refused(guest, guest.device(), {}).toBe(failure('no-node-kept'));
  });

  test('where the device is in no tailnet, or in that of another control server', async () => {
    const guest = await backedUp();
    guest.tailnet = { server: 'https://control.example' };
    await refused(guest).toBe(failure('other-control-server'));
    await refused(guest, guest.device(DEVICE, LOGGED_IN), {}).toBe(failure('other-control-server'));
    guest.tailnet = undefined;
    await refused(guest).toBe(failure('tailnet-off'));
    guest.tailnet = { server: 'https://control.example/' };
    guest.write('node', nodeStream({ server: 'https://control.example' }));
    await expect(nodeToRestore(guest.device(DEVICE, LOGGED_IN), definition, [])).resolves.toMatchObject({
      server: 'https://control.example',
    });
  });

  test('where the node runs on another device, as far as that tells', async () => {
    const guest = await backedUp();
    const there = guest.device(OTHER_DEVICE);
    const on = (id: string, status: Parameters<StandInGuest['device']>[1]) =>
      refused(guest, there, { of: DEVICE }, guest.device(id, status, 'phone'));
    await on(DEVICE, LOGGED_IN).toBe(
      expect.objectContaining({
        ...{ code: 'node-in-use', exit: 2, on: `${NODE.name} on phone` },
        hint: 'Stop it there for good: sovereign stop sql -s phone',
      }),
    );
    // It says nothing of its node yet.
    await on(DEVICE, {}).toBe(failure('node-in-use'));
    await on(THIRD_DEVICE, LOGGED_IN).toBe(failure('node-in-use'));
    const others = [
      guest.device(DEVICE, STOPPED),
      guest.device(DEVICE, { tailnet: { ...NODE, id: 'n7' } }),
      guest.device(THIRD_DEVICE),
      // The same device over another cable.
      guest.device(OTHER_DEVICE, LOGGED_IN),
      { ...guest.device(THIRD_DEVICE), inventory: () => Promise.reject(new Error('not reached')) },
    ];
    await expect(nodeToRestore(there, definition, others, { of: DEVICE })).resolves.toMatchObject({
      id: 'n1',
    });
  });

  test('where what the guest gives is cut, is data, or nothing', async () => {
    const guest = await backedUp();
    const device = guest.device(DEVICE, LOGGED_IN);
    const given = async (text: string, error: unknown) => {
      guest.write('node', text);
      await refused(guest, device, {}).toBe(error);
    };
    await given(nodeStream().slice(0, -10), expect.objectContaining({ code: 'cut-backup' }));
    await given(stream(), expect.objectContaining({ code: 'damaged-backup' }));
    await given(
      nodeStream({ keys: 'x'.repeat(1_000_001) }),
      expect.objectContaining({ code: 'damaged-backup' }),
    );
    guest.write('old-release', '');
    await refused(guest, device, {}).toBe(expect.objectContaining({ code: 'node-not-read' }));
    expect(guest.did).toEqual([]);
  });
});
