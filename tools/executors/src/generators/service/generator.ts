import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { GeneratorCallback, Tree } from '@nx/devkit';
import { NET_INDEX } from '@sovereign/service';
import {
  definition,
  healthScript,
  openrcService,
  packageJson,
  program,
  tsconfig,
  unitTest,
} from './files.ts';

/** Writes the folder of a new service; what it listens on and is made of is then for its author to say. */
export default async function serviceGenerator(
  tree: Tree,
  { name }: { name: string },
): Promise<GeneratorCallback> {
  const folder = `packages/rootfs-${name}`;
  if (tree.exists(folder)) throw new Error(`${folder} is there already: choose another name`);
  const overlay = `${folder}/overlay`;
  const executable = { mode: 0o755 };
  tree.write(`${folder}/service.config.ts`, definition(name, freeIndex(tree)));
  tree.write(`${folder}/package.json`, packageJson(name));
  tree.write(`${folder}/tsconfig.json`, tsconfig);
  tree.write(`${folder}/test/definition.test.ts`, unitTest);
  tree.write(`${overlay}/etc/init.d/${name}`, openrcService(name), executable);
  tree.write(`${overlay}/usr/lib/sovereign/${name}`, program(name), executable);
  tree.write(`${overlay}/usr/lib/sovereign/${name}-health`, healthScript(name), executable);
  addReference(tree, folder);
  // A tree holds no links.
  return Promise.resolve(() => {
    const link = join(tree.root, overlay, 'etc/runlevels/default', name);
    mkdirSync(dirname(link), { recursive: true });
    rmSync(link, { force: true });
    symlinkSync(`../../init.d/${name}`, link);
  });
}

/** The first place on the network of a device that no service has. */
function freeIndex(tree: Tree): number {
  const taken = tree
    .children('packages')
    .map((name) => tree.read(`packages/${name}/service.config.ts`, 'utf8') ?? '')
    .flatMap((text) => /net: \{ index: (\d+) \}/.exec(text)?.[1] ?? [])
    .map(Number);
  return Math.max(NET_INDEX.first - 1, ...taken) + 1;
}

function addReference(tree: Tree, folder: string): void {
  const text = tree.read('tsconfig.json', 'utf8');
  if (text === null) return;
  const config = JSON.parse(text) as { references?: { path: string }[] };
  config.references = [...(config.references ?? []), { path: `./${folder}` }];
  tree.write('tsconfig.json', `${JSON.stringify(config, null, 2)}\n`);
}
