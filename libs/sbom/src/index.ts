export { contentsSchema, makeContents, readContents, type Contents } from './contents.ts';
export type { BuiltImage } from './image.ts';
export { makeSpdx, type SpdxDocument } from './spdx.ts';
export { findVulnerabilities, type Vulnerability, type VulnerabilityReport } from './cve/index.ts';
export { fixesOf } from './cve/fixes.ts';
export { keepContents, keptContents } from './kept.ts';
