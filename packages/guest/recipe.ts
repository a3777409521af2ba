import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { GeneratedFile, Recipe } from '@sovereign/rootfs';
import { readManifest, serviceFiles, type Base, type FoundService } from '@sovereign/service';
import { alpineEffects } from './alpine-effects.ts';
import { guestAccounts, guestGroups } from './accounts.ts';
import { busyboxLinks } from './applets.ts';
import { debianEffects } from './debian-effects.ts';
import { baseFile, differenceOf } from './differences.ts';
import { depTree } from './deptree.ts';
import { guestDirectories, guestLinks } from './layout.ts';
import { guestRewrites } from './rewrites.ts';
import { trimRules } from './trim.ts';

const effects: Record<Base, Recipe['effects']> = { alpine: alpineEffects, debian: debianEffects };

/** Programs of ours that every guest runs, as paths on this machine. */
export interface GuestPrograms {
  /** For linux/arm64, static. */
  gvforwarder: string;
  /** For linux/arm64, static; also the client, when it is called as `tailscale`. */
  tailscaled: string;
}

/** The programs as `build` of the network's project left them in a workspace. */
export async function builtPrograms(workspace: string): Promise<GuestPrograms> {
  const dist = join(workspace, 'packages/network/dist');
  const { gvforwarder, tailscaled } = await readManifest(dist, 'network');
  return { gvforwarder: join(dist, gvforwarder.arm64.name), tailscaled: join(dist, tailscaled.arm64.name) };
}

/** Everything but the packages that decides the root file system of a service. */
export async function guestRecipe(
  service: FoundService,
  base: Base,
  programs: GuestPrograms,
): Promise<Omit<Recipe, 'packages'>> {
  const overlays = [join(import.meta.dirname, 'overlay'), join(service.folder, 'overlay')];
  return {
    trim: trimRules[base],
    rewrites: guestRewrites[base],
    effects: effects[base],
    effectsFile: `packages/guest/${base}-effects.ts`,
    accounts: [...guestAccounts, ...service.definition.accounts],
    groups: guestGroups,
    directories: guestDirectories,
    links: { ...guestLinks, ...(base === 'debian' ? busyboxLinks : {}) },
    overlays,
    files: [
      ...serviceFiles(service.definition, base),
      baseFile(service.definition, base),
      ...(await openrcCache(overlays, differenceOf('openrc-folder', base, service.definition))),
      {
        path: 'usr/lib/sovereign/gvforwarder',
        content: await readFile(programs.gvforwarder),
        mode: 0o755,
      },
      { path: 'usr/sbin/tailscaled', content: await readFile(programs.tailscaled), mode: 0o755 },
    ],
  };
}

/** What the guest copies to OpenRC's state folder before it starts OpenRC, which then computes nothing. */
async function openrcCache(overlays: readonly string[], openrc: string): Promise<GeneratedFile[]> {
  const folder = `${openrc.slice(1)}/cache`;
  const scripts = new Map<string, string>();
  for (const overlay of overlays) {
    const services = join(overlay, 'etc/init.d');
    for (const name of await readdir(services))
      scripts.set(name, await readFile(join(services, name), 'utf8'));
  }
  return [
    { path: `${folder}/deptree`, content: depTree(scripts) },
    { path: `${folder}/softlevel`, content: 'sysinit\n' },
  ];
}
