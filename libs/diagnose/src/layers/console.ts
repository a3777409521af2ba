import { failed, ok, type Layer } from '../contract.ts';

/** The guest's kernel speaks, and says nothing that it does not survive. */
export const console: Layer = {
  name: 'console',
  asks: "the console: what the guest's kernel and init said since power-on",
  async probe(scene) {
    const { name } = scene.definition;
    const { service = {}, console: lines, clock } = await scene.inspection();
    const panic = lastPanic(lines);
    if (panic !== undefined) {
      return failed(
        `the guest's kernel gave up: ${panic}`,
        `Run sovereign rollback ${name}, or deploy another release; sovereign logs --boot ${name} shows it all`,
      );
    }
    const last = lines.at(-1);
    if (last !== undefined) return ok(`it speaks; last line: ${last}`);
    const since = service.since === undefined ? '' : ` in ${Math.round(clock - Number(service.since))} s`;
    return failed(
      `not one line came${since}: the kernel does not run, or has no console`,
      `Run sovereign restart ${name}; where that does not help, deploy again`,
    );
  },
};

/** The last line by which a kernel says that it cannot go on. Pure. */
export const lastPanic = (lines: readonly string[]): string | undefined =>
  lines.findLast((line) =>
    /Kernel panic|Unable to mount root|Attempted to kill init|Internal error: Oops/.test(line),
  );
