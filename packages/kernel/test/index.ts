/** What the benchmark of the kernel takes from its test. */
export { boot } from './machine.ts';
export { makeProbeImages } from './probe-image.ts';
export { readReport } from './report.ts';
