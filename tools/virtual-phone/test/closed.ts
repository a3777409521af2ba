import { spawnSync } from 'node:child_process';
import { expect, onTestFinished } from 'vitest';
import type { PhoneService } from './phone.ts';

/** A port that nobody declared, on which somebody listens in the guest all the same. */
const UNDECLARED = 7777;

const address = '192.168.127.2';

/** For what is reached, in milliseconds. */
const PATIENT = { timeout: 120_000, interval: 250 };

/** Another guest of the phone reaches what PostgreSQL's declares, by its name, and nothing else of it. */
export async function expectClosedToNeighbours(sql: PhoneService): Promise<void> {
  const neighbour = sql.neighbour();
  onTestFinished(() => neighbour.device.remove(neighbour.definition, { data: true }));
  await neighbour.up();
  const asked = (port: number): Promise<string> =>
    neighbour.inGuest('sh', '-c', `nc -w 3 ${address} ${port} </dev/null || :`);
  await sql.inGuest(
    'sh',
    '-c',
    `(while :; do echo open | nc -l -p ${UNDECLARED}; done) </dev/null >/dev/null 2>&1 &`,
  );
  expect(await asked(UNDECLARED)).toBe('');
  // SSH answers with its version where it is reached, PostgreSQL says nothing before it is asked.
  expect(await asked(22)).toBe('');
  // Two emulated machines may take longer than that to make a connection.
  await expect
    .poll(() => neighbour.inGuest('sh', '-c', `nc -w 3 sql 5432 </dev/null && echo reached || :`), PATIENT)
    .toBe('reached\n');
  // It is the guest's firewall that keeps them out.
  await sql.inGuest(
    ...['nft', 'insert', 'rule', 'inet', 'sovereign', 'input', 'tcp', 'dport'],
    `{ 22, ${UNDECLARED} }`,
    'accept',
  );
  await expect.poll(() => asked(UNDECLARED), PATIENT).toBe('open\n');
  await expect.poll(() => asked(22), PATIENT).toContain('SSH-2.0');
}

/** True where a connection from this machine, which is outside of the phone, is taken. */
const reaches = (host: string, port: number): boolean =>
  spawnSync('timeout', ['3', 'bash', '-c', `exec 3<>/dev/tcp/${host}/${port}`]).status === 0;

/** From a network that the phone is in nothing is reached of the ports that it publishes on its own loopback. */
export async function expectClosedToUplink(sql: PhoneService): Promise<void> {
  const { phone } = sql;
  const [outside = '', adb = ''] = phone.serial.split(':');
  const published = (await phone.shell('cat /data/sovereign/net/published/sql'))
    .trim()
    .split('\n')
    .map((line) => Number(line.split(' ')[0]));
  expect(published).not.toEqual([]);
  for (const port of published) {
    await expect
      .poll(() => phone.shell(`nc -w 3 127.0.0.1 ${port} </dev/null && echo reached || :`), PATIENT)
      .toContain('reached');
    expect(reaches(outside, port), String(port)).toBe(false);
  }
  // The phone itself is reached by that address.
  await expect.poll(() => reaches(outside, Number(adb)), PATIENT).toBe(true);
}
