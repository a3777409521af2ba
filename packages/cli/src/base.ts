import { alpineIndex, debianMirrors } from '@sovereign/base';
import { note, SovereignError } from '@sovereign/report';
import { bases, type Base } from '@sovereign/service';
import { addLocal, readLocal } from './env-local.ts';

const VARIABLE = 'SOVEREIGN_BASE';
/** A mirror that did not answer within this time counts as not reached, in milliseconds. */
const TIMEOUT = 5_000;

export interface BaseQuestion {
  root: string;
  /** What `--base` says, for this run alone. */
  wanted: Base | undefined;
  /** Asks a person; undefined where none is there. */
  ask: ((question: string) => Promise<boolean>) | undefined;
  env?: NodeJS.ProcessEnv;
  reached?: (base: Base) => Promise<boolean>;
}

/**
 * The distribution that images are made of: the flag, else the environment, else the checkout's `.env.local`. The
 * first time, the default's mirror is tried, and the choice is recorded; a recorded one is never changed.
 */
export async function chooseBase({
  root,
  wanted,
  ask,
  env = process.env,
  reached = mirrorReached,
}: BaseQuestion): Promise<Base> {
  const chosen = wanted ?? (await recordedBase(root, env));
  if (chosen !== undefined) return chosen;

  const reason = (await reached('alpine')) ? undefined : "Alpine's mirror is not reached";
  const base = reason === undefined ? 'alpine' : 'debian';
  if (reason !== undefined) {
    // Downloads may be there from before, so no mirror at all is no reason to stop; it is one not to record.
    if (!(await reached('debian'))) {
      note(`base: debian, for this run (${reason}; no Debian mirror is reached)`);
      return base;
    }
    if (ask !== undefined && !(await ask(`${reason}, but Debian's is. Use Debian for this checkout?`))) {
      throw new SovereignError({
        code: 'no-base',
        what: 'no base was chosen',
        on: reason,
        hint: 'Name a mirror in SOVEREIGN_ALPINE_MIRROR, or run the command with --base debian',
      });
    }
  }
  await addLocal(root, VARIABLE, base, 'The distribution that images are made of: alpine or debian');
  note(`base: ${base}, recorded in .env.local${reason === undefined ? '' : ` (${reason})`}`);
  return base;
}

/** What the environment, else the checkout's `.env.local`, says; nothing is tried or recorded. */
export async function recordedBase(root: string, env = process.env): Promise<Base | undefined> {
  const set = env[VARIABLE];
  if (set !== undefined && set !== '') return known(set, VARIABLE);
  const recorded = await readLocal(root, VARIABLE);
  return recorded === undefined ? undefined : known(recorded, '.env.local');
}

function known(value: string, place: string): Base {
  const base = bases.find((name) => name === value);
  if (base !== undefined) return base;
  throw new SovereignError({
    code: 'unknown-base',
    what: `there is no base called ${value}`,
    on: place,
    hint: `Bases: ${bases.join(', ')}`,
    exit: 2,
  });
}

async function mirrorReached(base: Base): Promise<boolean> {
  const addresses =
    base === 'alpine'
      ? [alpineIndex()]
      : ((await debianMirrors().catch(() => undefined))?.debian ?? []).map((address) => `${address}/`);
  const answers = await Promise.all(addresses.map(answers200));
  return answers.includes(true);
}

async function answers200(address: string): Promise<boolean> {
  try {
    const response = await fetch(address, {
      method: 'HEAD',
      signal: AbortSignal.timeout(TIMEOUT),
    });
    return response.ok;
  } catch {
    return false;
  }
}
