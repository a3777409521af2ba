import { readFile } from 'node:fs/promises';

/**
 * Processor time, user and system, in seconds (proc_pid_stat(5): fields 14 and 15 of the process itself, 16 and 17 of
 * its children that have ended; 100 ticks a second).
 */
export async function cpuSeconds(pid: number | 'self', of: 'itself' | 'children'): Promise<number> {
  // From field 3 on: the name before it may hold blanks.
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  const first = of === 'itself' ? 11 : 13;
  return (Number(fields[first]) + Number(fields[first + 1])) / 100;
}
