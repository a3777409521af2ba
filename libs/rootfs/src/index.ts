export { composeRoot, type Recipe } from './compose.ts';
export { erofsArgs, erofsDefaults, makeErofs, type ErofsOptions } from './erofs.ts';
export type { Account, GeneratedFile, Group, RewriteRule, ScriptEffect, TrimRule } from './rules.ts';
export { Tree } from './tree.ts';
