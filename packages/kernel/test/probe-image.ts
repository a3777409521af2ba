import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { makeErofs, type ErofsOptions } from '@sovereign/rootfs';
import { openToolRoot, type ToolRoot } from '@sovereign/tools';
import { pack } from 'tar-stream';

/** Folders that the kernel and the probe mount something on. */
const folders = ['dev', 'proc', 'sys', 'tmp', 'sbin'];

/** Compiles the probe and makes root images of it, whose only program it is. */
export async function makeProbeImages(
  folder: string,
  kinds: Record<string, ErofsOptions>,
): Promise<Record<string, string>> {
  const tools = await openToolRoot();
  await compileProbe(tools, folder);
  const tar = join(folder, 'root.tar');
  await writeTar(tar, await readFile(join(folder, 'probe')));
  const images: Record<string, string> = {};
  for (const [name, options] of Object.entries(kinds)) {
    images[name] = join(folder, `${name}.erofs`);
    await makeErofs(tools, tar, images[name], options);
  }
  return images;
}

async function compileProbe(tools: ToolRoot, folder: string): Promise<void> {
  const source = join(import.meta.dirname, 'probe');
  const files = (await readdir(source)).filter((name) => name.endsWith('.c')).sort();
  await tools.run(
    [
      ...['aarch64-linux-gnu-gcc', '-std=gnu17', '-O1', '-Wall', '-Wextra', '-Werror', '-static', '-s'],
      ...['-o', '/out/probe'],
      ...files.map((name) => `/src/${name}`),
    ],
    {
      binds: [
        { source, target: '/src' },
        { source: folder, target: '/out', write: true },
      ],
    },
  );
}

async function writeTar(path: string, probe: Buffer): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  const archive = pack();
  const mtime = new Date(0);
  for (const name of folders) archive.entry({ name, type: 'directory', mode: 0o755, mtime });
  archive.entry({ name: 'sbin/init', mode: 0o755, mtime }, probe);
  archive.finalize();
  await pipeline(archive, createWriteStream(path));
}
