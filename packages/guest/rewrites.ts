import type { RewriteRule } from '@sovereign/rootfs';
import type { Base } from '@sovereign/service';
import { clearIcuItems } from './icu-data.ts';

/**
 * What a database sorts and folds by stays: collations, properties, normalisation, locale names, and names for
 * people in English.
 */
export function unwantedIcuItem(item: string): boolean {
  if (/\/(root|pool|res_index|en)\.res$/.test(item)) return false;
  return (
    // Formats for people: currencies, time zones, units, spelled-out numbers, names of languages and countries.
    /^(curr|zone|unit|rbnf|lang|region|translit)\//.test(item) ||
    // Dictionaries and models that find words in text without spaces; words elsewhere need none.
    /^brkitr\/.*(\.dict|lstm|adaboost).*$/.test(item) ||
    // Tables of other character sets than Unicode; UTF-8, UTF-16 and Latin-1 need none.
    item.endsWith('.cnv')
  );
}

const icu = (glob: string): RewriteRule => ({
  glob,
  reason: 'four fifths of ICU are for showing things to people, and for character sets that nothing here has',
  rewrite: (content) => clearIcuItems(content, unwantedIcuItem),
});

/** Files of packages that the image holds in part. */
export const guestRewrites: Record<Base, readonly RewriteRule[]> = {
  // A file of its own; the library beside it is an empty shell.
  alpine: [icu('usr/share/icu/**/icudt*.dat')],
  debian: [icu('usr/lib/**/libicudata.so.*')],
};
