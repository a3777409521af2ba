import type { InstallScript } from '@sovereign/base';
import { note, SovereignError } from '@sovereign/report';
import { sha256 } from '@sovereign/store';
import type { ScriptEffect } from './rules.ts';
import type { Tree } from './tree.ts';

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
  const undeclared = scripts.filter(
    (script) => !declares(known.get(script.package), script) && !asksForNothing(script),
  );
  const unknown = undeclared.filter(({ text }) => !onlyPrints(text));
  if (unknown.length > 0) throw unknownScripts(unknown, declaredIn);
  if (undeclared.length > 0) {
    note(`install scripts that nobody has declared, and that do nothing but print: ${namesOf(undeclared)}`);
  }
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

/** A here-document of a shell (POSIX, 2.7.4) that goes to its output, up to the line of its end. */
const printedDocument = /^cat (?:>&2 |1>&2 )?<<(-?) ?(['"]?)(\w+)\2(?: >&2| 1>&2)?$/;

/**
 * Whether all that a script does is to tell a person something: `echo` of plain words and here-documents. Nothing is
 * installed by a person here. Whatever is not understood is no such script.
 */
export function onlyPrints(text: string): boolean {
  const lines = text.split('\n');
  if (!/^#! ?\/bin\/sh( -e)?$/.test(lines[0] ?? '')) return false;
  for (let at = 1; at < lines.length; at++) {
    const line = (lines[at] ?? '').trim();
    if (line === '' || line.startsWith('#') || line === 'exit 0' || line === ':') continue;
    if (/^echo( -[en]+)?( "[\w\s.,:;/*'()<>=+-]*"| '[^']*'| [\w.,:/=+-]+)*( >&2| 1>&2)?$/.test(line))
      continue;
    const [, tabs, quote, end] = printedDocument.exec(line) ?? [];
    if (end === undefined) return false;
    const isEnd = (one: string): boolean => (tabs === '-' ? one.replace(/^\t+/, '') : one) === end;
    const length = lines.slice(at + 1).findIndex(isEnd);
    // Without quotes the shell would look into the document for what to run.
    const body = lines.slice(at + 1, at + 1 + length).join('\n');
    if (length === -1 || (quote === '' && /[$`\\]/.test(body))) return false;
    at += length + 1;
  }
  return true;
}

function declares(effect: ScriptEffect | undefined, { name, text }: InstallScript): boolean {
  if (effect === undefined) return false;
  return effect.scripts === undefined || effect.scripts[name]?.includes(sha256(text)) === true;
}

const namesOf = (scripts: readonly InstallScript[]): string =>
  scripts.map((script) => `${script.package} (${script.name})`).join(', ');

function unknownScripts(scripts: readonly InstallScript[], declaredIn: string): SovereignError {
  const shown = scripts.map(
    (script) => `--- ${script.package} ${script.name}, SHA-256 ${sha256(script.text)}\n${script.text}`,
  );
  return new SovereignError({
    code: 'unknown-script',
    what: `install scripts that nobody has declared, or that have changed: ${namesOf(scripts)}`,
    on: declaredIn,
    hint: `No script is run. Declare there what each would have done, or why nothing is needed:\n${shown.join('\n')}`,
  });
}
