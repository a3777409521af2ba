export { guestRecipe } from './recipe.ts';
export { guestLeavesOut, guestPackages } from './packages.ts';
export { depTree } from './deptree.ts';
