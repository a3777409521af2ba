import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const own = join(import.meta.dirname, '..');

test('what boots a phone and the stand-ins in shell are clean by shellcheck', { timeout: 60_000 }, () => {
  const scripts = ['boot', 'stand-ins'].flatMap((folder) =>
    readdirSync(join(own, folder), { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => join(folder, name)),
  );
  expect(scripts).toEqual(expect.arrayContaining(['boot/init.sh', 'stand-ins/su', 'stand-ins/settings']));
  execFileSync('shellcheck', ['--norc', 'phone', ...scripts], { cwd: own });
});
