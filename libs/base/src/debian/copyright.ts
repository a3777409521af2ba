import { createHash } from 'node:crypto';
import spdxIds from 'spdx-license-ids/index.json' with { type: 'json' };
import type { PackageMetadata } from '../contract.ts';
import { controlFields } from './deb822.ts';

/** Debian's short names (copyright-format 1.0) that are spelled otherwise in SPDX's list, in lower case. */
const renamed: Record<string, string> = {
  'apache-2': 'Apache-2.0',
  artistic: 'Artistic-1.0-Perl',
  'artistic-2': 'Artistic-2.0',
  cc0: 'CC0-1.0',
  expat: 'MIT',
  mit: 'MIT',
  'bsd-2': 'BSD-2-Clause',
  'bsd-3': 'BSD-3-Clause',
};

const listed = new Map(spdxIds.map((id) => [id.toLowerCase(), id]));

type License = Pick<PackageMetadata, 'license' | 'licenseTexts'>;

/**
 * The licences of a Debian `copyright` file. Where it is machine-readable: all that its paragraphs name, as one
 * SPDX expression. They are those of the whole source, so a binary package may need fewer. Elsewhere, and for what
 * SPDX's list does not have, the text under a `LicenseRef` of its own.
 * @see https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
 */
export function licenseOf(copyright: string): License {
  const paragraphs = copyright
    .replaceAll('\r', '')
    .split(/\n(?:[ \t]*\n)+/)
    .map(controlFields);
  const named = paragraphs.filter((fields) => fields.has('files') && fields.has('license')).map(licenseField);
  if (paragraphs[0]?.get('format')?.includes('copyright-format') !== true || named.length === 0)
    return reference('Debian-copyright', copyright);

  const standalone = new Map(
    paragraphs
      .filter((fields) => !fields.has('files'))
      .map(licenseField)
      .map(({ name, text }) => [name, text]),
  );
  const texts: Record<string, string> = {};
  const terms = new Map<string, string>();
  for (const { name, text } of named) {
    const term = spdxExpression(name, (part) => {
      const known = spdxId(part);
      if (known !== undefined) return known;
      const words = standalone.get(part) ?? (text === '' ? (standalone.get(name) ?? part) : text);
      const made = reference(part, words);
      Object.assign(texts, made.licenseTexts);
      return made.license ?? '';
    });
    // What stands in brackets, or beside an OR, stays whole.
    const parts = /\(| OR /.test(term) ? [term] : term.split(' AND ');
    for (const part of parts) terms.set(part, / (AND|OR) /.test(part) ? `(${part})` : part);
  }
  const all = [...terms].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    license: all.length === 1 ? (all[0]?.[0] ?? '') : all.map(([, term]) => term).join(' AND '),
    ...(Object.keys(texts).length === 0 ? {} : { licenseTexts: texts }),
  };
}

/** A `License` field: short name in the first line, the text behind it. */
function licenseField(fields: ReadonlyMap<string, string>): { name: string; text: string } {
  const [name = '', ...text] = (fields.get('license') ?? '').split('\n');
  return { name: name.trim(), text: text.join('\n') };
}

/** `A or B, and C` is `(A OR B) AND C`: the comma binds weaker than what stands between two of them. */
function spdxExpression(name: string, leaf: (part: string) => string): string {
  const group = (text: string, separator: RegExp, word: string, inner: (part: string) => string): string => {
    const parts = text
      .split(separator)
      .map((part) => part.trim())
      .filter((part) => part !== '')
      .map(inner);
    return parts.length === 1
      ? (parts[0] ?? '')
      : parts.map((part) => (/ (AND|OR) /.test(part) ? `(${part})` : part)).join(` ${word} `);
  };
  const either = (text: string) =>
    group(text, /\s+or\s+/i, 'OR', (part) => group(part, /\s+and\s+/i, 'AND', leaf));
  return group(name, /,\s*and\s+/i, 'AND', (part) => group(part, /,\s*or\s+|,\s*/i, 'OR', either));
}

/** The identifier of SPDX's list for one of Debian's short names, where it has one. */
function spdxId(name: string): string | undefined {
  const lower = name.toLowerCase();
  const exact = renamed[lower];
  if (exact !== undefined) return exact;
  const gnu = /^(a?gpl|lgpl|gfdl)-([\d.]+)(\+?)$/.exec(lower);
  if (gnu === null) return listed.get(lower);
  const [, family = '', version = '', plus] = gnu;
  const full = version.includes('.') ? version : `${version}.0`;
  return listed.get(
    `${family}-${full.replace(/^(\d+\.\d+)\.0$/, '$1')}-${plus === '+' ? 'or-later' : 'only'}`,
  );
}

/** Named by what it says as well, since packages give one name to different texts. */
function reference(name: string, text: string): License {
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 8);
  const slug = name
    .replace(/[^A-Za-z0-9.]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40);
  const license = `LicenseRef-${slug === '' ? 'unnamed' : slug}-${digest}`;
  return { license, licenseTexts: { [license]: text.trim() } };
}
