import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { fakeDevice, fakeSession } from '../testing/session.ts';
import { notify } from './notify.ts';

const ADDRESS = 'https://ntfy.example/planted';

it('reads the address from standard input, and repeats it nowhere', async () => {
  const given: unknown[] = [];
  const device = fakeDevice();
  device.notify.set = (kind, address) => {
    given.push(kind, address);
    return Promise.resolve('next-deploy');
  };
  const { session, out, err } = fakeSession({ device, words: ['ntfy'] });
  session.streams.in = Readable.from([`${ADDRESS}\n`]) as unknown as NodeJS.ReadStream;
  const { json, text } = await notify(session);
  expect(given).toEqual(['ntfy', ADDRESS]);
  expect(json).toEqual({ device: 'local', kind: 'ntfy', begins: 'next-deploy' });
  expect(text).toBe('ntfy is told when something needs attention, from the next sovereign up or deploy on');
  expect(JSON.stringify([json, text, out(), err()])).not.toContain('planted');
});

it('asks for no address where the phone shows it itself', async () => {
  const given: unknown[] = [];
  const device = fakeDevice();
  device.notify.set = (...words) => {
    given.push(...words);
    return Promise.resolve('now');
  };
  const { text } = await notify(fakeSession({ device, words: ['phone'] }).session);
  expect(given).toEqual(['phone', undefined]);
  expect(text).toBe('the phone shows it when something needs attention');
});

it('says who is told, and tells nobody any more', async () => {
  const device = fakeDevice();
  expect((await notify(fakeSession({ device }).session)).json).toEqual({ device: 'local', kind: null });
  await notify(fakeSession({ device, words: ['off'] }).session);
  expect(device.did).toEqual(['notify off']);
});

it('changes nothing in a dry run', async () => {
  const device = fakeDevice();
  for (const [word, line] of [
    ['webhook', 'tell webhook of local'],
    ['off', 'tell nobody of local'],
  ] as const) {
    const { session } = fakeSession({ device, words: [word], flags: { dryRun: true } });
    expect((await notify(session)).json).toEqual({ plan: [line] });
  }
  expect(device.did).toEqual([]);
});

it('refuses another kind, such as an address on the command line', async () => {
  await expect(notify(fakeSession({ words: [ADDRESS] }).session)).rejects.toMatchObject({
    code: 'usage',
    exit: 2,
  });
});
