import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Device, TailnetStatus } from '@sovereign/device';
import { fakeDevice, fakeSession, status } from '../testing/session.ts';
import { restore } from './restore.ts';

const library = vi.hoisted(() => ({
  listBackups: vi.fn<() => Promise<unknown[]>>(),
  nodeToRestore: vi.fn<(...words: unknown[]) => Promise<unknown>>(),
  restoreService: vi.fn<(...words: unknown[]) => Promise<unknown>>(),
}));
// Its own tests have a guest and restic.
vi.mock('@sovereign/backup', () => library);
afterEach(() => vi.resetAllMocks());

const ID = '1a2b3c4d'.repeat(8);
const KEYS = 'the keys of a node';
const NODE = {
  ...{ from: 'backup', device: '11111111-1111-4111-8111-111111111111', id: 'n1' },
  ...{ name: 'sql-desk.tail.example', server: undefined, stream: Buffer.from(KEYS) },
};
const RUNNING: TailnetStatus = {
  state: 'running',
  address: '100.64.0.1',
  name: NODE.name,
  expires: null,
  id: 'n1',
};

describe('with its node in the tailnet', () => {
  const begin = (wish: Partial<Parameters<typeof fakeSession>[0]> = {}, node: object = NODE) => {
    const time = '2026-11-29T10:00:00.000Z';
    library.listBackups.mockResolvedValue([{ id: ID, time }]);
    library.nodeToRestore.mockResolvedValue(node);
    library.restoreService.mockResolvedValue({ snapshot: ID, time, tables: 1, rows: 3 });
    const device: Device & { did: string[] } = fakeDevice({
      status: () => Promise.resolve([status({ tailnet: RUNNING })]),
    });
    return { device, ...fakeSession({ device, own: { withTailnet: true }, ...wish }) };
  };

  test('says that it comes along and must run nowhere else, and does nothing without a yes', async () => {
    const { session, err } = begin({ tty: true });
    const asked = restore(session);
    await expect.poll(err).toContain('Type sql to go on:');
    (session.streams.in as unknown as NodeJS.WritableStream).write('no\n');
    await expect(asked).rejects.toMatchObject({ code: 'not-confirmed' });
    expect(err()).toContain(
      'The node sql-desk.tail.example comes along, as it was kept of device 11111111: it must run nowhere else',
    );
    expect(library.restoreService).not.toHaveBeenCalled();
  });

  test('restores it from the backup that was shown, and tells how it stands then', async () => {
    const { session, device } = begin({ flags: { yes: true } });
    const { json, text } = await restore(session);
    const [, , others, chosen] = library.nodeToRestore.mock.lastCall ?? [];
    expect([others, chosen]).toMatchObject([[{ id: 'local' }], { snapshot: ID }]);
    expect(library.restoreService.mock.lastCall?.[2]).toMatchObject({ snapshot: ID, node: NODE });
    expect(device.did).toEqual(['tailnet settle']);
    expect(json).toMatchObject({ device: 'local', snapshot: ID, rows: 3, tailnet: RUNNING });
    expect(text).toContain(
      'Its node in the tailnet: sql-desk.tail.example at 100.64.0.1, its key never ends',
    );
    expect(JSON.stringify([json, text])).not.toContain(KEYS);
  });

  test('is in the plan, and what is wrong with it comes before any question', async () => {
    const planned = begin({ flags: { dryRun: true } }, { ...NODE, from: 'device' });
    expect((await restore(planned.session)).text).toBe(
      'restore sql on local from backup 1a2b3c4d of 2026-11-29T10:00:00.000Z, with its node sql-desk.tail.example',
    );
    const { session, err } = begin({ tty: true });
    library.nodeToRestore.mockRejectedValue(new Error('no node'));
    await expect(restore(session)).rejects.toThrow('no node');
    expect([err(), library.restoreService.mock.calls]).toEqual([expect.not.stringContaining('Type'), []]);
  });

  test('is not asked for where it is not said', async () => {
    const { session } = begin({ own: {}, flags: { yes: true } });
    expect((await restore(session)).json).not.toHaveProperty('tailnet');
    expect(library.nodeToRestore).not.toHaveBeenCalled();
  });
});
