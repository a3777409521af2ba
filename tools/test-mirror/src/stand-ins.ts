import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeData, type ApkFile } from '@sovereign/base/testing';
import { buildPrograms } from '@sovereign/go';
import type { PackageInfo, UnsignedPackage } from './package.ts';

/** Folder of the stand-ins' Go modules. */
const folder = join(import.meta.dirname, '../stand-ins');

/** Versions of the real packages in Alpine 3.24. */
const versions = { vaultwarden: '1.37.5-r0', forgejo: '15.0.11-r0' } as const;

async function program(name: keyof typeof versions): Promise<ApkFile> {
  const built = await buildPrograms({
    module: join(folder, name),
    programs: [{ name, package: '.', arch: 'arm64' }],
  });
  return { path: `usr/bin/${name}`, mode: 0o755, body: await readFile(join(built, name)) };
}

const folders: ApkFile[] = [{ path: 'usr' }, { path: 'usr/bin' }];
const page = '<!doctype html>\n<html lang="en"><title>A stand-in for the web vault</title></html>\n';
const webVault: ApkFile[] = [
  'usr',
  'usr/share',
  'usr/share/webapps',
  'usr/share/webapps/vaultwarden-web',
].map((path) => ({
  path,
}));

/** Packages of programs that Debian has none of: stand-ins, as their description says. */
export async function standInPrograms(): Promise<UnsignedPackage[]> {
  const make = async (info: PackageInfo, files: readonly ApkFile[]): Promise<UnsignedPackage> => ({
    info: { description: `A stand-in for ${info.name}, of the test mirror`, origin: info.name, ...info },
    data: await makeData(files),
  });
  return Promise.all([
    make({ name: 'vaultwarden', version: versions.vaultwarden }, [...folders, await program('vaultwarden')]),
    make({ name: 'vaultwarden-web-vault', version: '2026.1.0-r0' }, [
      ...webVault,
      { path: 'usr/share/webapps/vaultwarden-web/index.html', body: page },
    ]),
    make({ name: 'forgejo', version: versions.forgejo, depends: ['git', 'git-lfs'] }, [
      ...folders,
      await program('forgejo'),
    ]),
  ]);
}
