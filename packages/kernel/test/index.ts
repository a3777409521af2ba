/** What the benchmark of the kernel and the tests of the tools take from its test. */
export { boot } from './machine.ts';
export { compileObjects, LEAST_OBJECTS } from './objects.ts';
export { makeProbeImages } from './probe-image.ts';
export { readReport } from './report.ts';
