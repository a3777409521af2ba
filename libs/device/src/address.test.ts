import { expect, test } from 'vitest';
import { checkSecret } from './secrets.ts';

const check = (value: string): string => checkSecret({ name: 'heartbeat', holds: 'address' }, value);

test.each([
  'https://hc-ping.com/5f1c7a52-0d6f-4e0e-a1f7-1c8d5d6f7a11',
  'http://192.168.1.5:3001/api/push/Wq3?status=up&msg=OK&ping=',
  'https://[2001:db8::5]/ping',
  'off',
])('%s is taken as it is', (address) => {
  expect(check(`${address}\n`)).toBe(address);
});

test.each([
  ['planted-token', 'https://'],
  ['ftp://monitor.example/planted-token', 'https://'],
  ['https:///planted-token', 'no host'],
  ['https://me:planted-token@monitor.example/', 'a password'],
  ['https://monitor.example/planted token', 'blanks'],
  ['https://monitor.example/ö-planted-token', 'letters'],
  ['https://monitor.example/#planted-token', '#'],
  [`https://monitor.example/planted-token${'x'.repeat(2048)}`, '2048'],
  ['', 'blanks'],
])('what no program can call is refused without a word of it: %s', (value, reason) => {
  try {
    check(value);
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: 'bad-address', exit: 2, on: 'heartbeat' });
    expect((thrown as Error).message).not.toContain('planted');
    expect(JSON.stringify(thrown)).toContain(reason);
    expect(JSON.stringify(thrown)).not.toContain('planted');
    return;
  }
  expect.unreachable();
});
