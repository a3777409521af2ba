import { spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { StandInGuest } from './scripts.ts';

/** What `tailscale status --json --peers=false` prints, as far as it is read; times as RFC 3339. */
export function daemonSays(
  backend: string,
  {
    url = '',
    address = '',
    expiry = '',
    expired = false,
    online = true,
    host = 'sql-desk',
    dns = 'sql-desk.tail.example.',
    domains = [] as string[],
  } = {},
): string {
  const addresses = address === '' ? null : [address, 'fd7a:115c:a1e0::1'];
  return `${JSON.stringify(
    {
      Version: '1.98.10',
      TUN: true,
      BackendState: backend,
      AuthURL: url,
      TailscaleIPs: addresses,
      Self: {
        ID: address === '' ? '' : 'n1',
        HostName: host,
        DNSName: address === '' ? '' : dns,
        TailscaleIPs: addresses,
        Addrs: ['192.0.2.1:41641'],
        Online: online && address !== '',
        ...(expired ? { Expired: true } : {}),
        ...(expiry === '' ? {} : { KeyExpiry: expiry }),
      },
      Health: ['Tailscale could not reach "the server"', 'and more'],
      // As the daemon has it: absent lists are null.
      CertDomains: domains.length === 0 ? null : domains,
      User: { '1': { ID: 1, LoginName: 'owner' } },
    },
    undefined,
    2,
  )}\n`;
}

/**
 * A guest with stand-ins for `tailscaled` and `tailscale`. The daemon prints what `log` is given. The client answers
 * `status` from the file `says`, notes every other call in `calls`, a key file's content behind it, and runs the
 * shell script in the file `on-COMMAND`.
 */
export class TailnetGuest extends StandInGuest {
  #run: ChildProcess | undefined;

  constructor(shell: readonly string[]) {
    super(shell);
    for (const name of ['data', 'config/secrets']) mkdirSync(this.path(name));
    this.write('config/guest.conf', 'hostname sql\ntailnet yes\ntailnet-hostname sql-desk\n');
    // What the agent leaves when the launcher lets clients in.
    this.write('opened', '');
    this.says('NeedsLogin');
    spawnSync('mkfifo', [this.path('daemon')]);
    this.write('check-says', 'echo 2027-05-22T10:00:00Z');
    this.write('begun', '');
    const calls = this.path('calls');
    this.program(
      'tailscaled',
      `echo "tailscaled $* GOMEMLIMIT=$GOMEMLIMIT" >>'${calls}'
[ -z "$SSL_CERT_FILE" ] || echo "trusts $(tail -n 1 "$SSL_CERT_FILE")" >>'${calls}'
exec 4<>'${this.path('daemon')}'
echo 'Switching ipn state NoState -> something'
while read -r line <&4; do echo "2026/11/23 17:00:00 $line"; done`,
    );
    // Takes TLS until it is ended, unless `tls-says` holds a complaint; checks a handshake by what `check-says` holds,
    // once the one that is to take it has begun.
    this.program(
      'gvforwarder',
      `echo "gvforwarder $* $(sha256sum <"$6" | cut -c 1-8)" >>'${calls}'
case $1 in
-tls)
	echo $$ >>'${this.path('begun')}'
	[ ! -s '${this.path('tls-says')}' ] || { cat '${this.path('tls-says')}' >&2; exit 1; }
	exec 4<>'${this.path('quiet')}'
	read -r _ <&4
	;;
-tls-check)
	while read -r pid 2>/dev/null <'${this.path('tailscale/tls-pid')}' && ! grep -qx "$pid" '${this.path('begun')}'; do sleep 0.05; done
	. '${this.path('check-says')}'
	;;
esac`,
    );
    spawnSync('mkfifo', [this.path('quiet')]);
    this.program(
      'tailscale',
      `shift
[ "$1" != status ] || exec cat '${this.path('says')}'
key=
for word; do
	case $word in --auth-key=file:*) read -r key <"\${word#*file:}" ;; esac
done
echo "tailscale $*\${key:+ <$key>}" >>'${calls}'
cd '${this.folder}'
[ ! -e "on-$1" ] || . "./on-$1"`,
    );
  }

  /** What the daemon answers from now on. */
  says(...state: Parameters<typeof daemonSays>): void {
    this.write('says', daemonSays(...state));
  }

  /** What the client does when it is called with this command: a shell script. */
  on(command: string, script: string): void {
    this.write(`on-${command}`, script);
  }

  /** A line of the daemon's log. */
  log(line: string): void {
    appendFileSync(this.path('daemon'), `${line}\n`);
  }

  get calls(): string[] {
    return this.read('calls').trim().split('\n');
  }

  /** The state that was told last. */
  get told(): string {
    return this.read('state/tailnet').trim();
  }

  begin(): ChildProcess {
    // What one before has told is not what this one tells.
    rmSync(this.path('state/tailnet'), { force: true });
    this.#run = this.start('tailnet', 'run');
    return this.#run;
  }

  /** Ends `run` as OpenRC does. */
  async end(): Promise<void> {
    const run = this.#run;
    if (run?.exitCode !== null || run.signalCode !== null) return;
    const ended = once(run, 'exit');
    run.kill('SIGTERM');
    // A signal that comes just before the shell waits for a line is heard with the next one.
    this.run(`events='${this.path('tailscale/events')}'; [ ! -p "$events" ] || echo 1<>"$events"`);
    await ended;
  }
}
