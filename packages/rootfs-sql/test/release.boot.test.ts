import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { releaseId } from '@sovereign/service';
import { sha256File } from '@sovereign/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestService } from './service.ts';

let service: TestService;

beforeAll(async () => {
  service = await TestService.prepare();
  await service.up();
  await service.query("create table kept as select 'a row' as value");
});

afterAll(() => service.remove());

test('a release whose kernel panics is taken back by the launcher alone, and the data is as it was', async () => {
  const image = join(service.folder, 'no-file-system');
  writeFileSync(image, Buffer.alloc(1024 * 1024));
  const root = { sha256: await sha256File(image), size: 1024 * 1024 };
  await service.device.deploy({
    ...service.bundle,
    release: { ...service.bundle.release, root },
    files: { ...service.bundle.files, root: image },
  });
  await service.device.start(service.definition);
  await expect(service.device.waitHealthy(service.definition, 240)).rejects.toMatchObject({
    code: 'rolled-back',
    exit: 3,
  });
  const status = await service.status();
  expect(status).toMatchObject({
    healthy: true,
    release: releaseId(service.bundle.release),
    slot: 'a',
    trial: false,
  });
  expect(status.attention).toMatch(/taken back/);
  expect(await service.query('select value from kept')).toEqual([{ value: 'a row' }]);
});

test('a release that is healthy three times becomes current and serves; rollback goes back', async () => {
  const { memory } = service.bundle.release.resources;
  const next = {
    ...service.bundle.release,
    resources: { ...service.bundle.release.resources, memory: memory + 64 },
  };
  await service.device.deploy({ ...service.bundle, release: next });
  await service.device.start(service.definition);
  await service.device.waitHealthy(service.definition, 240);
  const status = await service.status();
  expect(status).toMatchObject({ release: releaseId(next), slot: 'b', trial: false });
  expect(await service.query('select value from kept')).toEqual([{ value: 'a row' }]);

  expect(await service.device.rollback(service.definition)).toEqual({
    from: releaseId(next),
    to: releaseId(service.bundle.release),
  });
  await service.device.waitHealthy(service.definition, 240);
  expect(await service.query('select value from kept')).toEqual([{ value: 'a row' }]);
});
