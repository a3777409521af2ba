import { hostname, userInfo } from 'node:os';
import { createInterface } from 'node:readline';
import { note, SovereignError } from '@sovereign/report';
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
echo "$2 $$" >"$1/lock.owner"
echo held
read -r end
[ ! -d "$1" ] || rm -f "$1/lock.owner"
`;

export interface DeviceLock {
  /** False where the device has no folder yet: there is nothing that could be changed, and no lock is held. */
  held: boolean;
  /** Rejects once the lock is lost before it was released. */
  lost: Promise<never>;
  release(): Promise<void>;
}

/**
 * Waits for the lock of a device, saying who has it.
 * @throws SovereignError `adb-lost`, `no-lock`
 */
export async function lockDevice(shell: PhoneShell, serial: string, root: string): Promise<DeviceLock> {
  const owner = `${userInfo().username}@${hostname()} since ${new Date().toISOString()}, process`;
  const holder = await shell.start(LOCK, [root, owner]);
  const lines = createInterface({ input: holder.stdout });
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
  for await (const line of lines) {
    if (line === 'absent')
      return { held: false, lost: new Promise(() => undefined), release: () => Promise.resolve() };
    if (line.startsWith('busy')) note(`waiting: ${line.slice('busy '.length)} changes ${serial}`);
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
