import { guestUnits } from '@sovereign/service';
import { fail, pass, type Check } from './contract.ts';

/** What `rc-status --format ini` says of each service. */
export function parseStatus(text: string): Map<string, string> {
  return new Map(
    text
      .split('\n')
      .map((line) => /^\s*([\w.-]+)\s*=\s*(\S+)/.exec(line))
      .filter((match) => match !== null)
      .map((match): [string, string] => [match[1] ?? '', match[2] ?? '']),
  );
}

/** Every service of every guest and of this one is started, and none beside them has failed or crashed. */
export const openrcServices: Check = {
  name: 'openrc.services',
  async run({ guest, definition }) {
    const { status, stdout, stderr } = await guest.exec(['rc-status', '--format', 'ini', '--all']);
    if (status !== 0) return fail(`rc-status: ${stderr.trim()}`);
    const states = parseStatus(stdout);
    const wanted = [...guestUnits, ...definition.units];
    const wrong = [...new Set([...wanted, ...states.keys()])]
      .map((name) => ({ name, state: states.get(name) ?? 'unknown' }))
      .filter(({ state }) => state !== 'started')
      .map(({ name, state }) => `${name} is ${state}`);
    return wrong.length === 0 ? pass(`started: ${wanted.join(', ')}`) : fail(wrong.join(', '));
  },
};
