import { sha256 } from '@sovereign/store';
import parse from 'spdx-expression-parse';

export interface License {
  /** SPDX expression. */
  expression: string;
  /** Texts of every `LicenseRef-…` in it. */
  texts: Readonly<Record<string, string>>;
}

/**
 * A distribution's words on the licence of a package as an SPDX expression. What is none becomes a `LicenseRef` whose
 * text is those words; without words it is NOASSERTION.
 */
export function spdxLicense(
  words: string | undefined,
  texts: Readonly<Record<string, string>> = {},
): License {
  if (words === undefined || words.trim() === '') return { expression: 'NOASSERTION', texts: {} };
  const references = words.match(/LicenseRef-[A-Za-z0-9.-]+/g) ?? [];
  const known = references.every((name) => texts[name] !== undefined);
  if (known && isExpression(words)) {
    return {
      expression: words,
      texts: Object.fromEntries(references.map((name) => [name, texts[name] ?? ''])),
    };
  }
  const slug = words
    .replace(/[^A-Za-z0-9.]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40);
  const name = `LicenseRef-${slug}-${sha256(words).slice(0, 8)}`;
  return { expression: name, texts: { [name]: `The distribution says of it: ${words}` } };
}

function isExpression(words: string): boolean {
  try {
    parse(words);
    return true;
  } catch {
    return false;
  }
}
