export { cacheDir, configDir, dataDir, workspaceRoot } from './places.ts';
export { canonicalJson, sha256, sha256File } from './digest.ts';
export { withLock } from './lock.ts';
export { writeFileAtomic } from './atomic.ts';
export { withScratch } from './leftovers.ts';
export { byAge } from './age.ts';
export { unlessMissing } from './missing.ts';
export { contentKeyed, putEntry, removeEntry, takeEntry } from './content-keyed.ts';
export { fetchChecked, fetchVerified, type Download, type Unpinned } from './fetch.ts';
