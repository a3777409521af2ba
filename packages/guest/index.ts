export { alpineEffects } from './alpine-effects.ts';
export { busyboxLinks } from './applets.ts';
export { builtPrograms, guestRecipe, type GuestPrograms } from './recipe.ts';
export { guestLeavesOut, guestPackages } from './packages.ts';
export { depTree } from './deptree.ts';
