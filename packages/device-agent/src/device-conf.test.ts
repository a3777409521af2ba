import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

const root = mkdtempSync(join(tmpdir(), 'sovereign conf '));
const lib = join(import.meta.dirname, 'lib');
const digest = 'ab'.repeat(32);
const reader = `
set -uf
root=$1
. "$2/say.sh"
. "$2/device-conf.sh"
read_device_conf || { echo "refused: $device_error"; exit; }
echo "$device_kind $device_network $device_gvproxy $device_reserve $device_awake $device_hook"`;

afterAll(() => rmSync(root, { recursive: true }));

const read = (shell: string[], content: string): string => {
  writeFileSync(join(root, 'device.conf'), content);
  return execFileSync(shell[0] ?? '', [...shell.slice(1), '-c', reader, 'reader', root, lib], {
    encoding: 'utf8',
  }).trim();
};

describe.each([[['dash']], [['mksh']], [['busybox', 'ash']]])('under %s', (shell) => {
  test('a phone’s settings are read', () => {
    const lines = [
      'schema 1',
      'kind adb',
      'network vsock',
      `gvproxy ${digest}`,
      'reserve 512',
      'awake yes',
      'hook /data/adb/service.d/sovereign.sh',
    ];
    expect(read(shell, lines.map((line) => `${line}\n`).join(''))).toBe(
      `adb vsock ${digest} 512 yes /data/adb/service.d/sovereign.sh`,
    );
    expect(read(shell, 'schema 1\nkind local\n')).toBe('local user  0 no');
  });

  test.each([
    ['schema 2', /'schema 2'/],
    ['schema 1\nnetwork bridge', /'network bridge'/],
    ['schema 1\ncolour blue', /'colour blue'/],
    ['schema 1\nreserve 5 MiB', /'reserve 5 MiB'/],
    ['schema 1\nhook service.d/x', /'hook service.d\/x'/],
    ['schema 1\nnetwork vsock', /'gvproxy' is missing/],
    [`schema 1\ngvproxy ../${digest.slice(3)}`, /'gvproxy /],
    ['kind adb', /'schema' is missing/],
  ])('%j is refused', (content, reason) => {
    expect(read(shell, `${content}\n`)).toMatch(/^refused: device.conf: /);
    expect(read(shell, `${content}\n`)).toMatch(reason);
  });
});
