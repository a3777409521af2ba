import { basename } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { elfNeeds } from './elf.ts';
import { cleanPath, type Tree } from './tree.ts';

/**
 * Checks that every program and library of the tree finds what it is linked against. Packages that a definition
 * leaves out are safe to miss only as long as this holds.
 * @throws SovereignError `missing-library` naming each missing library and who needs it
 */
export async function checkLinkage(tree: Tree): Promise<void> {
  const names = new Set([...tree.entries.keys()].map((path) => basename(path)));
  const missing = new Map<string, string[]>();
  const want = (name: string, there: boolean, by: string) => {
    if (!there) missing.set(name, [...(missing.get(name) ?? []), `/${by}`]);
  };
  for (const [path, entry] of tree.entries) {
    if (entry.type !== 'file') continue;
    const needs = elfNeeds(await tree.read(entry.content));
    if (needs === undefined) continue;
    for (const library of needs.libraries) want(library, names.has(library), path);
    const { interpreter } = needs;
    if (interpreter !== undefined) want(interpreter, tree.entries.has(cleanPath(interpreter)), path);
  }
  if (missing.size === 0) return;
  const lines = [...missing].map(([name, users]) => `${name} (needed by ${users.slice(0, 3).join(', ')})`);
  throw new SovereignError({
    code: 'missing-library',
    what: `programs of the image are linked against libraries that it lacks: ${lines.join('; ')}`,
    hint: 'Take the package that brings it off `leaveOut`, or trim the program that needs it',
  });
}
