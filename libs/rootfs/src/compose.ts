import { join, matchesGlob } from 'node:path';
import type { Unpacked } from '@sovereign/base';
import { step } from '@sovereign/report';
import { cacheDir, withScratch } from '@sovereign/store';
import { addAccounts, ownerIds } from './accounts.ts';
import { checkLinkage } from './linkage.ts';
import { composed, type Composed } from './composed.ts';
import { addOverlay } from './overlay.ts';
import type { Account, GeneratedFile, Group, RewriteRule, ScriptEffect, TrimRule } from './rules.ts';
import { applyEffects } from './scripts.ts';
import { writeTar } from './tar.ts';
import { Tree } from './tree.ts';

/** Everything that decides a root file system. */
export interface Recipe {
  packages: Unpacked;
  trim: readonly TrimRule[];
  rewrites: readonly RewriteRule[];
  effects: readonly ScriptEffect[];
  /** The file that `effects` comes from, for messages. */
  effectsFile: string;
  accounts: readonly Account[];
  groups: readonly Group[];
  /** Folders that mount points and links need and no package brings, by path without a leading slash. */
  directories: readonly string[];
  /** Symbolic links by path without a leading slash, made where nothing is: what BusyBox stands in for. */
  links: Readonly<Record<string, string>>;
  /** Folders of the repository, laid over the packages in this order. */
  overlays: readonly string[];
  files: readonly GeneratedFile[];
}

/**
 * Makes a root file system of its packages and writes it as one deterministic tar; runs no foreign code.
 * @returns what is in it, and from where
 */
export async function composeRoot(recipe: Recipe, tarPath: string): Promise<Composed> {
  return withScratch(cacheDir('compose'), (scratch) =>
    step('compose the root file system', async (handle) => {
      await using tree = await Tree.create(join(scratch, 'spool'));
      await tree.addTar(recipe.packages.tar, recipe.trim, {
        ownerOf: recipe.packages.ownerOf,
        ids: recipe.packages.ownersByName ? ownerIds(recipe.accounts, recipe.groups) : undefined,
      });
      await applyRewrites(tree, recipe.rewrites);
      applyEffects(tree, recipe.packages.scripts, recipe.effects, recipe.effectsFile);
      await addCertificates(tree);
      addAccounts(tree, recipe.accounts, recipe.groups);
      for (const path of recipe.directories) if (!tree.entries.has(path)) tree.directory(path);
      for (const [path, target] of Object.entries(recipe.links)) {
        if (!tree.entries.has(path)) tree.link(path, target);
      }
      for (const overlay of recipe.overlays) await addOverlay(tree, overlay);
      for (const { path, content, mode } of recipe.files) {
        tree.file(path, content, mode === undefined ? {} : { mode });
      }
      tree.addMissingDirectories();
      await checkLinkage(tree);
      await writeTar(tree, tarPath);
      handle.detail(`${tree.entries.size} entries`);
      return await composed(tree);
    }),
  );
}

async function applyRewrites(tree: Tree, rules: readonly RewriteRule[]): Promise<void> {
  for (const { glob, rewrite } of rules) {
    for (const [path, entry] of tree.entries) {
      if (entry.type !== 'file' || !matchesGlob(path, glob)) continue;
      tree.entries.set(path, { ...entry, content: rewrite(await tree.read(entry.content)) });
    }
  }
}

/** One file of every certificate authority, as update-ca-certificates(8) makes it of ca-certificates' folder. */
async function addCertificates(tree: Tree): Promise<void> {
  const source = 'usr/share/ca-certificates/';
  const paths = tree.sortedPaths().filter((path) => path.startsWith(source) && path.endsWith('.crt'));
  if (paths.length === 0) return;
  const texts = await Promise.all(paths.map((path) => tree.text(path)));
  const bundle = texts.map((text) => `${text.trimEnd()}\n`).join('');
  const owner = tree.entries.get(paths[0] ?? '')?.package;
  tree.file('etc/ssl/certs/ca-certificates.crt', bundle, { package: owner });
  // The bundle has them all; the single files would only be there twice.
  for (const path of paths) tree.entries.delete(path);
}
