import { chmod, copyFile, cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { debian, lockDigest, readLock } from '@sovereign/base';
import { SovereignError, step } from '@sovereign/report';
import { contentKeyed, sha256 } from '@sovereign/store';
import { execa } from 'execa';
import { appletsOfBoth } from './applets.ts';

/** Raised when the layout below changes, so that trees of an older layout are not taken. */
const LAYOUT = 4;

/** What the phone is made of: Debian packages of trixie. Changing this list asks for a new lock. */
export const phonePackages = [
  ...['adbd', 'toybox', 'mksh', 'iproute2', 'iptables', 'util-linux', 'tini'],
] as const;

export const phoneLockPath = join(import.meta.dirname, '../phone.amd64.lock.json');

/** Programs that a phone has beside toybox, by their name there, and where Debian keeps them. */
const programs = {
  mksh: 'usr/bin/mksh',
  toybox: 'usr/bin/toybox',
  ip: 'usr/bin/ip',
  ss: 'usr/bin/ss',
  tc: 'usr/sbin/tc',
  'xtables-legacy-multi': 'usr/sbin/xtables-legacy-multi',
};

const iptables = ['iptables', 'iptables-save', 'iptables-restore'].flatMap((name) => [
  name,
  name.replace('ip', 'ip6'),
]);

/** What belongs to the machinery of the test phone and is in nobody's PATH. */
const hidden = {
  adbd: 'usr/lib/android-sdk/platform-tools/adbd',
  tini: 'usr/bin/tini',
  setpriv: 'usr/bin/setpriv',
  // Set-user-id below: the way by which `su` becomes root.
  'as-root': 'usr/bin/setpriv',
};

const folders = [
  ...['apex/com.android.virt/bin', 'data', 'dev', 'proc', 'sys', 'tmp', 'mnt', 'storage', 'vendor/bin'],
  ...['system/bin', 'system/xbin', 'system/etc', 'system/lib64', '.host', '.phone/bin', '.phone/checkout'],
];

/** Gives the root tree that every phone starts from, making it from its lock where it is missing. */
export async function phoneTree(): Promise<string> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new SovereignError({
      code: 'unsupported-host',
      what: `there is no test phone for ${process.platform} on ${process.arch}`,
      hint: 'Run it on Linux on x86-64',
    });
  }
  const lock = await readLock(phoneLockPath);
  const key = sha256(`${lockDigest(lock)} layout ${LAYOUT}`);
  const make = (folder: string) =>
    step('prepare the test phone', async () => {
      const packages = join(folder, '.packages');
      await mkdir(packages);
      const { tar } = await debian.unpack(lock, phoneLockPath);
      await execa('tar', ['--extract', '--no-same-owner', '--directory', packages], { input: tar });
      await layOut(packages, folder);
      await rm(packages, { recursive: true });
    });
  const { folder } = await contentKeyed('virtual-phone', key, make, 4);
  return folder;
}

/** A phone's layout, with nothing of Debian in PATH that a phone does not have too. */
async function layOut(packages: string, root: string): Promise<void> {
  for (const folder of folders) await mkdir(join(root, folder), { recursive: true });
  // Libraries stay where the loader looks for them.
  await cp(join(packages, 'usr/lib/x86_64-linux-gnu'), join(root, 'usr/lib/x86_64-linux-gnu'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  await cp(join(packages, 'usr/lib64'), join(root, 'usr/lib64'), { recursive: true, verbatimSymlinks: true });
  await cp(join(packages, 'usr/lib/android-sdk'), join(root, 'usr/lib/android-sdk'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  const links = {
    bin: 'system/bin',
    etc: 'system/etc',
    lib: 'usr/lib',
    lib64: 'usr/lib64',
    run: 'dev/.phone',
  };
  for (const [name, target] of Object.entries(links)) await symlink(target, join(root, name));
  for (const [name, path] of Object.entries(programs)) {
    await copyFile(join(packages, path), join(root, 'system/bin', name));
  }
  for (const name of iptables) await symlink('xtables-legacy-multi', join(root, 'system/bin', name));
  await symlink('mksh', join(root, 'system/bin/sh'));
  for (const [name, path] of Object.entries(hidden)) {
    await copyFile(join(packages, path), join(root, '.phone/bin', name));
  }
  await chmod(join(root, '.phone/bin/as-root'), 0o4755);
  const { stdout } = await execa(join(root, 'system/bin/toybox'));
  for (const applet of appletsOfBoth(stdout.split(/\s+/))) {
    if (!existsSync(join(root, 'system/bin', applet))) {
      await symlink('toybox', join(root, 'system/bin', applet));
    }
  }
  await writeFile(
    join(root, 'system/etc/passwd'),
    'root:x:0:0:root:/:/system/bin/sh\nsystem:x:1000:1000:system:/:/system/bin/sh\nshell:x:2000:2000:shell:/:/system/bin/sh\n',
  );
  await writeFile(join(root, 'system/etc/group'), 'root:x:0:\nsystem:x:1000:\nshell:x:2000:\n');
  await writeFile(join(root, 'system/etc/hosts'), '127.0.0.1 localhost\n::1 ip6-localhost\n');
}
