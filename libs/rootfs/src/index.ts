export { composeRoot, type Recipe } from './compose.ts';
export type { Composed, ComposedFile } from './composed.ts';
export { elfNeeds, type ElfNeeds } from './elf.ts';
export { storedSizes } from './erofs-files.ts';
export { erofsArgs, erofsDefaults, makeErofs, type ErofsOptions } from './erofs.ts';
export type { Account, GeneratedFile, Group, RewriteRule, ScriptEffect, TrimRule } from './rules.ts';
export { Tree } from './tree.ts';
