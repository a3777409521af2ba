import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { releaseId } from '@sovereign/service';
import { openToolRoot } from '@sovereign/tools';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { builtRoot, rebuildRoot } from './rebuild.ts';
import { TestService } from './service.ts';

// An image is made, and a trial takes its whole deadline.
vi.setConfig({ testTimeout: 900_000, hookTimeout: 600_000 });

/** Changes the tables of its owner when it is asked for its health, and then never is healthy. */
const BROKEN = `#!/bin/sh
bin=$(sed -n 's/^postgresql-programs //p' /etc/sovereign/base.conf)
echo 'CREATE TABLE IF NOT EXISTS migrated (); DROP TABLE IF EXISTS kept;' |
	"$bin/psql" -X -q -v ON_ERROR_STOP=1 -h /run/postgresql -U postgres -d postgres -f - 2>&1 &&
	echo 'the data was changed'
exit 1
`;

let service: TestService;
beforeAll(async () => {
  service = await TestService.prepare();
  await service.up();
  await service.query("create table kept as select 'a row' as value");
});

afterAll(() => service.remove());

test('a release that changes the data and fails its trial is gone again, and slot and data are as they were', async () => {
  const { definition, bundle } = service;
  const overlay = join(service.folder, 'overlay');
  mkdirSync(join(overlay, 'usr/lib/sovereign'), { recursive: true });
  writeFileSync(join(overlay, 'usr/lib/sovereign/health'), BROKEN, { mode: 0o755 });
  const folder = join(service.folder, 'broken');
  const sha256 = await rebuildRoot(await openToolRoot(), folder, (await builtRoot()).base, { overlay });
  const image = join(folder, 'root.erofs');
  const { ino } = statSync(service.file('data.img'));

  const changing = {
    ...definition,
    data: { ...definition.data, changes: 'version' as const },
    health: { ...definition.health, deadline: 90 },
  };
  await service.device.deploy({
    ...bundle,
    definition: changing,
    release: {
      ...bundle.release,
      version: `${bundle.release.version}-next`,
      root: { sha256, size: statSync(image).size },
    },
    files: { ...bundle.files, root: image },
  });
  await service.device.start(changing);
  await service.until('the changed data to be told', async () =>
    /^bad .*the data was changed/.test(await service.text('state/health')),
  );
  expect(existsSync(service.file('data.old'))).toBe(true);
  await expect(service.device.waitHealthy(changing, 400)).rejects.toMatchObject({
    code: 'rolled-back',
    exit: 3,
  });

  expect(await service.status()).toMatchObject({
    healthy: true,
    release: releaseId(bundle.release),
    slot: 'a',
    trial: false,
  });
  expect(await service.query('select value from kept')).toEqual([{ value: 'a row' }]);
  expect(await service.query("select to_regclass('migrated') as found")).toEqual([{ found: null }]);
  expect(statSync(service.file('data.img')).ino).toBe(ino);
  for (const name of ['data.old', 'trial-data', 'trial']) expect(existsSync(service.file(name))).toBe(false);
});

test('a release that changes the data and passes has the copy from then on, with all that was in it', async () => {
  const { definition, bundle } = service;
  const changing = { ...definition, data: { ...definition.data, changes: 'version' as const } };
  const release = { ...bundle.release, version: `${bundle.release.version}-next` };
  await service.device.deploy({ ...bundle, definition: changing, release });
  await service.device.start(changing);
  await service.device.waitHealthy(changing, 240);
  expect(await service.status()).toMatchObject({ release: releaseId(release), slot: 'b', trial: false });
  expect(await service.query('select value from kept')).toEqual([{ value: 'a row' }]);
  await service.until('the old data to be gone', () => !existsSync(service.file('data.old')));
  await expect(service.device.rollback(changing)).rejects.toMatchObject({ code: 'data-mismatch' });
});
