import type { InstallScript } from '@sovereign/base';
import { SovereignError } from '@sovereign/report';
import { sha256 } from '@sovereign/store';
import type { ScriptEffect } from './rules.ts';
import type { Tree } from './tree.ts';

/** How much of a script a message shows. */
const SHOWN_LINES = 80;

/**
 * Applies what the install scripts of the packages would have done.
 * @throws SovereignError `unknown-script` naming and showing every script that nobody has declared, or not this text of it
 */
export function applyEffects(
  tree: Tree,
  scripts: readonly InstallScript[],
  effects: readonly ScriptEffect[],
  declaredIn: string,
): void {
  const known = new Map(effects.map((effect) => [effect.package, effect]));
  const unknown = scripts.filter(
    (script) => !declares(known.get(script.package), script) && !asksForNothing(script),
  );
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

function declares(effect: ScriptEffect | undefined, { name, text }: InstallScript): boolean {
  if (effect === undefined) return false;
  return effect.scripts === undefined || effect.scripts[name]?.includes(sha256(text)) === true;
}

function unknownScripts(scripts: readonly InstallScript[], declaredIn: string): SovereignError {
  const names = scripts.map((script) => `${script.package} (${script.name})`).join(', ');
  const shown = scripts.map(
    (script) =>
      `--- ${script.package} ${script.name}, SHA-256 ${sha256(script.text)}\n` +
      script.text.split('\n').slice(0, SHOWN_LINES).join('\n'),
  );
  return new SovereignError({
    code: 'unknown-script',
    what: `install scripts that nobody has declared, or that have changed: ${names}`,
    on: declaredIn,
    hint: `No script is run. Declare there what each would have done, or why nothing is needed:\n${shown.join('\n')}`,
  });
}
