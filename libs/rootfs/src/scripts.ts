import type { InstallScript } from '@sovereign/base';
import { SovereignError } from '@sovereign/report';
import type { ScriptEffect } from './rules.ts';
import type { Tree } from './tree.ts';

/**
 * Applies what the install scripts of the packages would have done.
 * @throws SovereignError `unknown-script` naming every package whose scripts nobody has declared
 */
export function applyEffects(
  tree: Tree,
  scripts: readonly InstallScript[],
  effects: readonly ScriptEffect[],
  declaredIn: string,
): void {
  const known = new Map(effects.map((effect) => [effect.package, effect]));
  const unknown = scripts.filter((script) => !known.has(script.package) && !asksForNothing(script));
  if (unknown.length > 0) throw unknownScripts(unknown, declaredIn);
  for (const name of new Set(scripts.map((script) => script.package))) {
    for (const [path, target] of Object.entries(known.get(name)?.links ?? {})) tree.link(path, target);
  }
}

/**
 * deb-triggers(5): wakes the installers of caches that an image has no use for. The loader finds the folder of the
 * architecture without ldconfig's cache, and the kernel needs no initramfs.
 */
const asksForNothing = ({ name, text }: InstallScript): boolean =>
  name === 'triggers' &&
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .every((line) => /^activate(-noawait)? (ldconfig|update-initramfs)$/.test(line.trim()));

function unknownScripts(scripts: readonly InstallScript[], declaredIn: string): SovereignError {
  const names = scripts.map((script) => `${script.package} (${script.name})`).join(', ');
  const first = scripts[0]?.text.split('\n').slice(0, 40).join('\n') ?? '';
  return new SovereignError({
    code: 'unknown-script',
    what: `install scripts that nobody has declared: ${names}`,
    on: declaredIn,
    hint: `No script is run. Declare there what it would have done, or why nothing is needed. The first reads:\n${first}`,
  });
}
