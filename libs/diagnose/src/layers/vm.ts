import { failed, ok, type Layer } from '../contract.ts';
import { startService } from '../fixes.ts';
import { lastPanic } from './console.ts';

/** The virtual machine is a process that runs, and its supervisor watches it. */
export const vm: Layer = {
  name: 'vm',
  asks: "the launcher: the virtual machine's process",
  async probe(scene) {
    const { name } = scene.definition;
    const { service = {}, console, vmm } = await scene.inspection();
    const { state, pid, launcher, attention, restarts = '0' } = service;
    const start = `Run sovereign start ${name}`;
    if (pid !== undefined && launcher === undefined) {
      return failed(`process ${pid} runs, but nobody supervises it`, start, startService);
    }
    if (pid !== undefined && state !== 'stopping')
      return ok(`process ${pid}, ${state ?? 'state unknown'}, restarts: ${restarts}`);
    const why = [
      `no process: ${name} is ${state ?? 'unknown'}`,
      attention,
      service['exit-reason'] === undefined ? undefined : `it ended last by: ${service['exit-reason']}`,
      lastPanic(console) ?? vmm.at(-1),
    ];
    const evidence = why.filter((part) => part !== undefined).join('; ');
    // One that is about to come back, or to go, is nobody's to start.
    if (state === 'starting' || state === 'stopping')
      return failed(evidence, `Run sovereign logs ${name} to see why it ends`);
    return failed(evidence, start, startService);
  },
};
