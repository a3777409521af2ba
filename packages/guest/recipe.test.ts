import { readdirSync, readFileSync } from 'node:fs';
import { join, matchesGlob } from 'node:path';
import { bases, findServices, guestUnits } from '@sovereign/service';
import { describe, expect, test } from 'vitest';
import { busyboxLinks } from './applets.ts';
import { alpineEffects } from './alpine-effects.ts';
import { debianEffects } from './debian-effects.ts';
import { differences, harmless } from './differences.ts';
import { guestLinks } from './layout.ts';
import { guestLeavesOut } from './packages.ts';
import { guestRecipe } from './recipe.ts';
import { trimRules } from './trim.ts';

const services = await findServices(join(import.meta.dirname, '../..'));
const overlay = join(import.meta.dirname, 'overlay');
/** Stand in for the programs that the network's project builds. */
const programs = { gvforwarder: import.meta.filename, tailscaled: join(import.meta.dirname, 'recipe.ts') };

describe.each(services)('$definition.name', (service) => {
  test('has every service that it names, in OpenRC form, in a runlevel', () => {
    const overlays = [overlay, join(service.folder, 'overlay')];
    const scripts = overlays.flatMap((folder) => readdirSync(join(folder, 'etc/init.d')));
    const enabled = overlays.flatMap((folder) =>
      readdirSync(join(folder, 'etc/runlevels'), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isSymbolicLink())
        .map(({ name }) => name),
    );
    const wanted = [...guestUnits, ...service.definition.units];
    // In no runlevel: `data` starts it where the settings of the device say so.
    expect(scripts.toSorted()).toEqual([...wanted, 'tailnet'].toSorted());
    expect(enabled.toSorted()).toEqual(wanted.toSorted());
    for (const folder of overlays) {
      for (const name of readdirSync(join(folder, 'etc/init.d'))) {
        expect(readFileSync(join(folder, 'etc/init.d', name), 'utf8')).toMatch(/^#!\/sbin\/openrc-run\n/);
      }
    }
  });

  test('tells the guest its ports, its data and its health command', async () => {
    const { files } = await guestRecipe(service, 'debian', programs);
    const text = String(files.find(({ path }) => path === 'etc/sovereign/service.conf')?.content);
    const { definition } = service;
    for (const port of definition.ports) expect(text).toContain(`port ${port.name} ${port.guest}\n`);
    expect(text).toContain(`data-kind ${definition.data.kind}\n`);
    expect(text).toContain(`health ${definition.health.command}\n`);
    const made = bases.filter((base) => definition.bases[base] !== undefined).join(' ');
    expect(text).toContain(`data-bases ${made}\n`);
  });

  test('brings the program that carries the network over vsock, to be run by root', async () => {
    const { files } = await guestRecipe(service, 'debian', programs);
    expect(files).toContainEqual({
      path: 'usr/lib/sovereign/gvforwarder',
      content: readFileSync(import.meta.filename),
      mode: 0o755,
    });
  });

  test('brings the program that joins the tailnet, daemon and client in one file', async () => {
    const { files, links } = await guestRecipe(service, 'debian', programs);
    expect(files).toContainEqual({
      path: 'usr/sbin/tailscaled',
      content: readFileSync(programs.tailscaled),
      mode: 0o755,
    });
    expect(links).toMatchObject({ 'usr/bin/tailscale': '/usr/sbin/tailscaled' });
  });

  test('tells the guest what is another on its base', async () => {
    const text = async (base: 'alpine' | 'debian') =>
      String(
        (await guestRecipe(service, base, programs)).files.find(
          ({ path }) => path === 'etc/sovereign/base.conf',
        )?.content,
      );
    expect(await text('alpine')).toContain('openrc-folder /usr/libexec/rc\n');
    expect(await text('debian')).toContain('openrc-folder /usr/lib/rc\n');
    expect(await text('alpine')).not.toContain('{');
  });

  test('brings the dependency cache of OpenRC where its base looks for it', async () => {
    const paths = async (base: 'alpine' | 'debian') =>
      (await guestRecipe(service, base, programs)).files.map(({ path }) => path);
    expect(await paths('debian')).toContain('usr/lib/rc/cache/deptree');
    expect(await paths('alpine')).toContain('usr/libexec/rc/cache/deptree');
  });
});

test('the overlay links only to itself, because tools that walk the checkout follow links', () => {
  for (const folder of [overlay, ...services.map((service) => join(service.folder, 'overlay'))]) {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isSymbolicLink()) continue;
      expect(join(entry.parentPath, entry.name)).toContain('/etc/runlevels/');
    }
  }
});

test('everything that is left out, trimmed or replaced says why', () => {
  const reasons = [
    ...Object.values(guestLeavesOut).flatMap((packages) => Object.values(packages)),
    ...Object.values(trimRules).flatMap((rules) => rules.map(({ reason }) => reason)),
    ...[...alpineEffects, ...debianEffects].map(({ reason }) => reason),
    ...[...Object.values(differences), ...harmless].map(({ reason }) => reason),
  ];
  for (const reason of reasons) expect(reason.length).toBeGreaterThan(10);
});

test.each(['alpine', 'debian'] as const)(
  'no trim rule takes what the guest itself is made of: %s',
  (base) => {
    const trimmed = trimRules[base].map(({ glob }) => glob);
    const programs = Object.values(differences).map((difference) =>
      difference[base].replace('{major}', '17'),
    );
    for (const path of ['usr/sbin', 'usr/bin', 'usr/lib', 'etc', ...programs.map((text) => text.slice(1))]) {
      expect(trimmed.filter((glob) => matchesGlob(path, glob))).toEqual([]);
    }
  },
);

test('links have no leading slash and no link lies below another', () => {
  const links = Object.keys({ ...busyboxLinks, ...guestLinks });
  for (const path of links) {
    expect(path).not.toMatch(/^\//);
    expect(links.filter((other) => other.startsWith(`${path}/`))).toEqual([]);
  }
  expect(busyboxLinks['usr/sbin/init']).toBe('../bin/busybox');
  expect(busyboxLinks['usr/bin/sh']).toBe('busybox');
});

test.each([
  ['alpine', alpineEffects],
  ['debian', debianEffects],
])('no package is declared twice: %s', (_base, effects) => {
  const names = effects.map((effect) => effect.package);
  expect(new Set(names).size).toBe(names.length);
});

test('every script of Alpine is declared by the digest of its text', () => {
  for (const { package: name, scripts } of alpineEffects) {
    expect(Object.keys(scripts ?? {}), name).not.toEqual([]);
    for (const digest of Object.values(scripts ?? {}).flat()) expect(digest, name).toMatch(/^[0-9a-f]{64}$/);
  }
});
