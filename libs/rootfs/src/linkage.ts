import { basename } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { elfNeeds } from './elf.ts';
import { cleanPath, sizeOf, type Tree } from './tree.ts';

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
  const files = [...tree.entries].flatMap(([path, entry]) =>
    entry.type === 'file' ? [{ path, content: entry.content }] : [],
  );
  // One for all of them: a new one for each would be a hundred MB and more to clear away.
  const space = Buffer.allocUnsafe(files.reduce((most, { content }) => Math.max(most, sizeOf(content)), 0));
  for (const { path, content } of files) {
    const needs = elfNeeds(await tree.read(content, space));
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
