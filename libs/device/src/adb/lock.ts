import { hostname, userInfo } from 'node:os';
import { createInterface } from 'node:readline';
import { note, SovereignError } from '@sovereign/report';
import { adbStalled } from './errors.ts';
import { Patience } from './patience.ts';
import type { PhoneShell } from './shell.ts';

/**
 * Holds the lock of a device for as long as somebody listens: it lies with a shell on the phone that reads from us, so
 * it is free again as soon as we, the cable or the phone are gone. Prints `absent` where the device has no folder,
 * `busy OWNER` while somebody else has it, `held` once it is ours.
 */
const LOCK = `
while :; do
  [ -d "$1" ] || { echo absent; exit 0; }
  exec 9>>"$1/lock"
  if ! flock -n 9 9<&9; then
    # Whoever has it just began.
    [ -s "$1/lock.owner" ] || sleep 1
    owner='another sovereign process'
    [ ! -s "$1/lock.owner" ] || read -r owner <"$1/lock.owner"
    echo "busy $owner"
    flock 9 9<&9 || exit 1
  fi
  # Whoever had it may have removed all there was.
  [ "$(stat -c %i "$1/lock" 2>/dev/null)" != "$(stat -L -c %i /proc/$$/fd/9)" ] || break
done
# In one step: who waits reads it.
echo "$2 $$" >"$1/lock.owner.tmp" && mv -f "$1/lock.owner.tmp" "$1/lock.owner"
echo held
read -r _
[ ! -d "$1" ] || rm -f "$1/lock.owner"
`;

/** How long is waited, in milliseconds. */
export interface LockLimits {
  /** For the phone's first word. */
  answer: number;
  /** For somebody else to be done: a first deploy over a slow connection takes minutes. */
  busy: number;
}

const LIMITS: LockLimits = { answer: 60_000, busy: 15 * 60_000 };

export interface DeviceLock {
  /** False where the device has no folder yet: there is nothing that could be changed, and no lock is held. */
  held: boolean;
  /** Rejects once the lock is lost before it was released. */
  lost: Promise<never>;
  release(): Promise<void>;
}

/**
 * Waits for the lock of a device, saying who has it.
 * @throws SovereignError `adb-lost`, `adb-stalled`, `phone-busy`, `no-lock`
 */
export async function lockDevice(
  shell: PhoneShell,
  serial: string,
  root: string,
  limits: LockLimits = LIMITS,
): Promise<DeviceLock> {
  const patience = new Patience(limits.answer);
  try {
    return await takeLock(shell, serial, root, { limits, patience });
  } finally {
    patience.end();
  }
}

async function takeLock(
  shell: PhoneShell,
  serial: string,
  root: string,
  { limits, patience }: { limits: LockLimits; patience: Patience },
): Promise<DeviceLock> {
  const owner = `${userInfo().username}@${hostname()} since ${new Date().toISOString()}, process`;
  const silent = adbStalled(serial, `the phone has not answered for ${limits.answer / 1000} s`);
  const started = shell.start(LOCK, [root, owner]);
  const holder = await Promise.race([started, patience.over]);
  if (holder === 'over') {
    started.then(
      (late) => late.end(),
      () => undefined,
    );
    throw silent;
  }
  let said = '';
  holder.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const lost = new Promise<never>((_, reject) => {
    holder.status.then(
      () =>
        reject(
          new SovereignError({
            code: 'adb-lost',
            what: 'the lock of the phone was lost',
            on: serial,
            exit: 4,
          }),
        ),
      reject,
    );
  });
  lost.catch(() => undefined);
  const lines = createInterface({ input: holder.stdout })[Symbol.asyncIterator]();
  let other: string | undefined;
  for (;;) {
    const next = await Promise.race([lines.next(), patience.over]);
    if (next === 'over') {
      holder.end();
      throw other === undefined ? silent : busy(serial, other, limits.busy);
    }
    if (next.done === true) break;
    const line = next.value;
    if (line === 'absent')
      return { held: false, lost: new Promise(() => undefined), release: () => Promise.resolve() };
    if (line.startsWith('busy')) {
      other = line.slice('busy '.length);
      note(`waiting: ${other} changes ${serial}`);
      patience.renew(limits.busy);
    }
    if (line !== 'held') continue;
    return {
      held: true,
      lost,
      release: async () => {
        holder.stdin.end('\n');
        await holder.status.catch(() => undefined);
      },
    };
  }
  await holder.status;
  throw new SovereignError({
    code: 'no-lock',
    what: `the phone gives no lock: ${said.trim()}`,
    on: `${serial}: ${root}`,
    hint: 'Look into this folder on the phone',
  });
}

const busy = (serial: string, owner: string, ms: number): SovereignError =>
  new SovereignError({
    code: 'phone-busy',
    what: `another process has kept the phone to itself for ${Math.round(ms / 60_000)} min: ${owner}`,
    on: serial,
    hint: 'Wait for that process or end it there, and run the command again. Where it hangs, unplug the phone and plug it in again, which frees the lock',
  });
