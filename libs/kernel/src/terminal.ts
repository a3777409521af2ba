import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';

/** Where descriptions of terminals lie, in the order in which ncurses looks (terminfo(5), and Debian's places). */
const places = (): string[] =>
  [
    process.env.TERMINFO,
    join(homedir(), '.terminfo'),
    '/etc/terminfo',
    '/lib/terminfo',
    '/usr/lib/terminfo',
    '/usr/share/terminfo',
  ].filter((place) => place !== undefined);

/**
 * The terminal belongs to this machine, so its description does as well: the tools have none.
 * @returns the name of the terminal, and the folder that describes it
 */
export function findTerminal(): { name: string; folder: string } {
  const name = process.env.TERM ?? '';
  const folder = places().find((place) => name !== '' && existsSync(join(place, name.charAt(0), name)));
  if (process.stdin.isTTY && process.stdout.isTTY && folder !== undefined) return { name, folder };
  throw new SovereignError({
    code: 'no-terminal',
    what: 'the menu needs a terminal that this machine can describe',
    on: name === '' ? 'TERM is not set' : name,
    hint: 'Run it in a terminal, for example with TERM=xterm; or change a fragment by hand',
  });
}
