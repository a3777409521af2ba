import type { FlagName } from './flags.ts';
import type { Run } from './session.ts';
import type { Need } from './system.ts';

export interface OwnFlag {
  flags: string;
  description: string;
}

export interface CommandEntry {
  name: string;
  /** `many`: any number of services; `one`: exactly one; `none`: the command is about no service. */
  services: 'many' | 'one' | 'none';
  /** What naming no service means where `many` are taken. */
  withoutService?: 'all' | 'only';
  /** Words behind the service, as commander spells them: `<needed>`, `[optional]`, `...` for any number. */
  words?: string;
  /** The same as the usage line shows them. */
  wordsUsage?: string;
  summary: string;
  description?: string;
  example: string;
  flags: readonly FlagName[];
  own?: readonly OwnFlag[];
  /** Tools of this machine that have to be there. */
  needs: readonly Need[];
  /** Ctrl-C belongs to what it opens. */
  interactive?: true;
  /** Loaded when the command is run, so that the others stay quick. */
  load: () => Promise<Run>;
}

/** What a command needs where it is about a phone: adb to reach it, and no VMM of this machine's. */
export const onPhone = ({ flags, needs }: CommandEntry): Need[] => [
  ...needs.filter((need) => need !== 'qemu'),
  ...(flags.includes('serial') ? (['adb'] as const) : []),
];

/** What the owner decides for one phone; kept there until it is said again. */
const forPhone: OwnFlag[] = [
  { flags: '--network <mode>', description: 'on a phone, from now on: vsock (default) or tap' },
  {
    flags: '--dns <addresses>',
    description: 'name servers of the guests of a phone, from now on, with commas',
  },
];

/** How services are reached in the owner's tailnet; kept for the device until it is said again. */
const forTailnet: OwnFlag[] = [
  { flags: '--tailnet', description: 'the device’s services are nodes of your tailnet, from now on' },
  { flags: '--no-tailnet', description: 'they are not, from now on' },
  { flags: '--tailnet-key <file>', description: 'a file with an auth key, one line; - is standard input' },
  {
    flags: '--tailnet-server <url>',
    description: 'control server, from now on; default is Tailscale’s own',
  },
  {
    flags: '--tailnet-ca <file>',
    description: 'certificates that vouch for that server, in PEM; default is none',
  },
  { flags: '--tailnet-tags <tags>', description: 'tags of its nodes, with commas: tag:sovereign' },
  { flags: '--tailnet-name <name>', description: 'the device’s part of their names, from now on' },
];

/** Whose backups are meant, where it is not this device's own. */
const ofDevice: OwnFlag[] = [
  { flags: '--of <device>', description: 'backups of another device: its serial, "local", or its id' },
  { flags: '--repository <repository>', description: 'where they are, where that is nobody’s own' },
];

const passphraseFile: OwnFlag = {
  flags: '--passphrase-file <file>',
  description: 'a file with the passphrase, one line; - is standard input',
};

const onDevice = ['serial', 'timeout', 'dryRun'] as const;
const making = ['base', 'tools', 'affected', 'since', 'locked'] as const;

/** Every command, in the order of the help text. */
export const table: readonly CommandEntry[] = [
  {
    name: 'up',
    services: 'many',
    summary: 'build what is missing, deploy, start, wait for health, print how to connect',
    example: 'sovereign up --sql',
    flags: [...onDevice, ...making],
    own: [...forPhone, ...forTailnet],
    needs: ['qemu', 'ssh'],
    load: async () => (await import('./commands/up.ts')).up,
  },
  {
    name: 'down',
    services: 'many',
    summary: 'stop cleanly, keep everything',
    example: 'sovereign down --all',
    flags: onDevice,
    needs: [],
    load: async () => (await import('./commands/lifecycle.ts')).stop,
  },
  {
    name: 'build',
    services: 'many',
    summary: 'build kernel and images, as far as they are not built',
    example: 'sovereign build sql --base debian',
    flags: ['dryRun', ...making],
    needs: [],
    load: async () => (await import('./commands/build.ts')).build,
  },
  {
    name: 'deploy',
    services: 'many',
    summary: 'build what is missing and put it on the device; the next start boots it',
    example: 'sovereign deploy sql',
    flags: ['serial', 'dryRun', ...making],
    own: [...forPhone, ...forTailnet],
    needs: ['ssh'],
    load: async () => (await import('./commands/build.ts')).deploy,
  },
  {
    name: 'start',
    services: 'many',
    summary: 'start what is deployed and wait for health',
    example: 'sovereign start sql --timeout 60',
    flags: onDevice,
    needs: ['qemu'],
    load: async () => (await import('./commands/lifecycle.ts')).start,
  },
  {
    name: 'stop',
    services: 'many',
    summary: 'ask the service to stop; cut the power after --timeout (default: 60)',
    example: 'sovereign stop sql',
    flags: onDevice,
    needs: [],
    load: async () => (await import('./commands/lifecycle.ts')).stop,
  },
  {
    name: 'restart',
    services: 'many',
    summary: 'stop, start, wait for health',
    example: 'sovereign restart sql',
    flags: onDevice,
    needs: ['qemu'],
    load: async () => (await import('./commands/lifecycle.ts')).restart,
  },
  {
    name: 'status',
    services: 'many',
    withoutService: 'all',
    summary: 'every device and service at a glance',
    description: 'With a service named, exits with 3 unless it is healthy.',
    example: 'sovereign status --json',
    flags: ['serial'],
    needs: [],
    load: async () => (await import('./commands/status.ts')).status,
  },
  {
    name: 'test',
    services: 'many',
    summary: 'the live checks, one line each',
    description: 'Asks the running service for evidence. A check that cannot tell counts as failed.',
    example: 'sovereign test sql',
    flags: ['serial', 'dryRun'],
    needs: ['ssh'],
    load: async () => (await import('./commands/test.ts')).test,
  },
  {
    name: 'diagnose',
    services: 'one',
    summary: 'why a service is not reached: one line a layer, with the cure of the first that fails',
    description:
      'Asks from the device up to a real request, and stops at what fails. Exits with 3 then, with 4 where the device is not reached.',
    example: 'sovereign diagnose sql --fix',
    flags: ['serial'],
    own: [{ flags: '--fix', description: 'do what is safe to do, say it before, and ask again' }],
    needs: [],
    load: async () => (await import('./commands/diagnose.ts')).diagnose,
  },
  {
    name: 'logs',
    services: 'one',
    summary: "the guest's and the launcher's log",
    example: 'sovereign logs sql -f',
    flags: ['serial'],
    own: [
      { flags: '-f, --follow', description: 'go on with what comes, until Ctrl-C' },
      { flags: '--boot', description: 'the console from power-on instead' },
    ],
    needs: [],
    load: async () => (await import('./commands/logs.ts')).logs,
  },
  {
    name: 'shell',
    services: 'one',
    summary: 'a shell in the guest, over SSH',
    example: 'sovereign shell sql',
    flags: ['serial'],
    needs: ['ssh'],
    interactive: true,
    load: async () => (await import('./commands/exec.ts')).shell,
  },
  {
    name: 'exec',
    services: 'one',
    words: '<command...>',
    wordsUsage: '-- COMMAND…',
    summary: 'run a command in the guest; its exit status is ours',
    example: 'sovereign exec sql -- cat /etc/os-release',
    flags: ['serial'],
    needs: ['ssh'],
    interactive: true,
    load: async () => (await import('./commands/exec.ts')).exec,
  },
  {
    name: 'connect',
    services: 'one',
    words: '[arguments...]',
    wordsUsage: '[-- ARGUMENTS…]',
    summary: 'open the natural client with its credentials, or print the address',
    example: 'sovereign connect sql -- -c "select version()"',
    flags: ['serial'],
    own: [{ flags: '--print', description: 'print the address with its credentials; open nothing' }],
    needs: [],
    interactive: true,
    load: async () => (await import('./commands/connect.ts')).connect,
  },
  {
    name: 'secrets list',
    services: 'one',
    summary: 'the secrets of a service on a device: which are there, without their values',
    example: 'sovereign secrets list sql',
    flags: ['serial'],
    needs: [],
    load: async () => (await import('./commands/secrets.ts')).listSecrets,
  },
  {
    name: 'secrets show',
    services: 'one',
    words: '[name]',
    wordsUsage: '[NAME]',
    summary: 'print the value of a secret, alone',
    description: 'Prints to a terminal; to anything else with --yes.',
    example: 'sovereign secrets show sql postgres-password',
    flags: ['serial'],
    needs: [],
    load: async () => (await import('./commands/secrets.ts')).showSecret,
  },
  {
    name: 'secrets set',
    services: 'one',
    words: '<name>',
    wordsUsage: 'NAME',
    summary: 'give a secret a value of yours; a service that runs takes it',
    description: 'Asks for the value on a terminal, unseen, else reads it from standard input.',
    example: 'sovereign secrets set sql postgres-password',
    flags: ['serial', 'dryRun'],
    needs: ['ssh'],
    load: async () => (await import('./commands/secrets.ts')).setSecret,
  },
  {
    name: 'secrets rotate',
    services: 'one',
    words: '[name]',
    wordsUsage: '[NAME]',
    summary: 'make a new value for a secret, or for all that are made; a service that runs takes it',
    description: 'A change that was cut before is finished instead.',
    example: 'sovereign secrets rotate sql',
    flags: ['serial', 'dryRun'],
    needs: ['ssh'],
    load: async () => (await import('./commands/secrets.ts')).rotateSecrets,
  },
  {
    name: 'secrets export',
    services: 'none',
    words: '<file>',
    wordsUsage: 'FILE',
    summary: 'an encrypted recovery kit: all that this workstation knows of its devices',
    description:
      'Asks for a passphrase. Keep the file on another machine: without it, a dead disk locks you out.',
    example: 'sovereign secrets export sovereign.kit',
    flags: ['dryRun'],
    own: [passphraseFile],
    needs: [],
    load: async () => (await import('./commands/recovery-kit.ts')).exportKit,
  },
  {
    name: 'secrets import',
    services: 'none',
    words: '<file>',
    wordsUsage: 'FILE',
    summary: 'take over what a recovery kit holds; asks before it replaces anything',
    example: 'sovereign secrets import sovereign.kit',
    flags: ['dryRun'],
    own: [passphraseFile],
    needs: [],
    load: async () => (await import('./commands/recovery-kit.ts')).importKit,
  },
  {
    name: 'settings',
    services: 'one',
    words: '[changes...]',
    wordsUsage: '[NAME=VALUE…]',
    summary: 'show and set what is yours to decide of a service; NAME= takes it back',
    description: 'Kept for each device. The next `up` or `deploy` brings it to the service.',
    example: 'sovereign settings sql',
    flags: ['serial', 'dryRun'],
    needs: [],
    load: async () => (await import('./commands/settings.ts')).settings,
  },
  {
    name: 'tailnet status',
    services: 'many',
    withoutService: 'all',
    summary: 'the nodes in your tailnet: address, name, end of the key',
    description: 'With a service named, exits with 3 unless it is in the tailnet.',
    example: 'sovereign tailnet status sql',
    flags: ['serial'],
    needs: [],
    load: async () => (await import('./commands/tailnet.ts')).tailnetStatus,
  },
  {
    name: 'tailnet login',
    services: 'one',
    summary: 'log a service in, by an auth key or by an address to visit',
    description: 'Without --key it prints the address, also as a QR code, and waits until you were there.',
    example: 'sovereign tailnet login sql',
    flags: onDevice,
    own: [{ flags: '--key <file>', description: 'a file with an auth key, one line; - is standard input' }],
    needs: ['ssh'],
    load: async () => (await import('./commands/tailnet.ts')).tailnetLogin,
  },
  {
    name: 'tailnet logout',
    services: 'one',
    summary: 'log a service out of your tailnet; asks first',
    example: 'sovereign tailnet logout sql',
    flags: ['serial', 'dryRun'],
    needs: ['ssh'],
    load: async () => (await import('./commands/tailnet.ts')).tailnetLogout,
  },
  {
    name: 'tailnet rename',
    services: 'one',
    words: '<name>',
    wordsUsage: 'NAME',
    summary: 'give a service another name in your tailnet, from now on',
    example: 'sovereign tailnet rename sql database',
    flags: ['serial', 'dryRun'],
    needs: ['ssh'],
    load: async () => (await import('./commands/tailnet.ts')).tailnetRename,
  },
  {
    name: 'backup',
    services: 'one',
    summary: 'back a running service up; where to is said once',
    description:
      'What a target needs beside its address (AWS_ACCESS_KEY_ID, an SSH key) is taken as restic takes it.',
    example: 'sovereign backup sql --to /media/disk/backups',
    flags: ['serial', 'dryRun'],
    own: [
      { flags: '--to <repository>', description: 'folder, or sftp:, s3:, rest: as restic spells them' },
      { flags: '--keep-daily <count>', description: 'days of which a backup stays, from now on (7)' },
      { flags: '--keep-weekly <count>', description: 'weeks of which one stays, from now on (4)' },
      { flags: '--keep-monthly <count>', description: 'months of which one stays, from now on (6)' },
    ],
    needs: ['ssh'],
    load: async () => (await import('./commands/backup.ts')).backup,
  },
  {
    name: 'backup list',
    services: 'one',
    summary: 'the backups of a service, the newest last',
    example: 'sovereign backup list sql',
    flags: ['serial'],
    own: ofDevice,
    needs: [],
    load: async () => (await import('./commands/backup.ts')).listBackup,
  },
  {
    name: 'backup verify',
    services: 'one',
    summary: 'restore the newest backup into a machine that is thrown away, and compare',
    description: 'The machine is one of this workstation, closed, and in no tailnet.',
    example: 'sovereign backup verify sql',
    flags: ['serial', 'dryRun'],
    own: [{ flags: '--snapshot <id>', description: 'this backup instead of the newest one' }, ...ofDevice],
    needs: ['qemu', 'ssh'],
    load: async () => (await import('./commands/backup.ts')).verify,
  },
  {
    name: 'backup schedule',
    services: 'one',
    summary: 'make backups by a timer of this workstation’s user',
    example: 'sovereign backup schedule sql --daily 03:00',
    flags: ['serial', 'dryRun'],
    own: [
      { flags: '--daily <time>', description: 'every day at this time, HH:MM' },
      { flags: '--weekly <time>', description: 'every Sunday at this time' },
      { flags: '--off', description: 'no more; what was made stays' },
    ],
    needs: [],
    load: async () => (await import('./commands/backup.ts')).schedule,
  },
  {
    name: 'restore',
    services: 'one',
    summary: 'replace the data of a service by a backup; asks for the name of the service',
    description: 'The disk from before is kept, and comes back by itself where anything fails.',
    example: 'sovereign restore sql --snapshot 1a2b3c4d',
    flags: ['serial', 'dryRun'],
    own: [
      { flags: '--snapshot <id>', description: 'this backup instead of the newest one' },
      { flags: '--with-tailnet', description: 'its node in the tailnet comes along, as the same one' },
      {
        flags: '--undo',
        description: 'back to the data from before the last restore, or before it was moved',
      },
      { flags: '--discard', description: 'give that data up' },
      ...ofDevice,
    ],
    needs: ['qemu', 'ssh'],
    load: async () => (await import('./commands/restore.ts')).restore,
  },
  {
    name: 'devices',
    services: 'none',
    summary: 'what virtual machines can run on, with what each can do',
    example: 'sovereign devices --json',
    flags: [],
    needs: [],
    load: async () => (await import('./commands/devices.ts')).devices,
  },
  {
    name: 'notify',
    services: 'none',
    words: '[kind]',
    wordsUsage: '[ntfy|webhook|phone|off]',
    summary: 'have the device itself tell you when something there needs attention',
    description:
      'Asks for the address on a terminal, unseen, else reads it from standard input. A phone shows it on its screen too; with `phone` there alone.',
    example: 'sovereign notify ntfy',
    flags: ['serial', 'dryRun'],
    needs: [],
    load: async () => (await import('./commands/notify.ts')).notify,
  },
  {
    name: 'doctor',
    services: 'none',
    summary: 'what is missing or wrong on this machine and on a device, and the cure',
    example: 'sovereign doctor -s SERIAL --fix',
    flags: ['serial'],
    own: [{ flags: '--fix', description: 'install what is missing; with -s also set what a phone lacks' }],
    needs: [],
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
  {
    name: 'lock',
    services: 'many',
    withoutService: 'all',
    summary: 'refresh the locks, show what changed',
    example: 'sovereign lock sql --base debian',
    flags: ['base', 'dryRun'],
    needs: [],
    load: async () => (await import('./commands/lock.ts')).lock,
  },
  {
    name: 'outdated',
    services: 'many',
    withoutService: 'all',
    summary: 'packages that the index has newer than the lock, security fixes first; changes nothing',
    description:
      'Which are security fixes is asked of the distribution, for the versions in the built image.',
    example: 'sovereign outdated --json',
    flags: ['base', 'tools'],
    needs: [],
    load: async () => (await import('./commands/outdated.ts')).outdated,
  },
  {
    name: 'upgrade',
    services: 'one',
    summary:
      'newer packages: lock, build, deploy, a closed trial; kept where it is healthy, else all goes back',
    description:
      'Shows first what changes. A version that may change the data is tried on a copy of the data disk. With --locked the lock stays as it is.',
    example: 'sovereign upgrade sql',
    flags: [...onDevice, 'base', 'tools', 'locked'],
    needs: ['qemu'],
    load: async () => (await import('./commands/upgrade.ts')).upgrade,
  },
  {
    name: 'inspect',
    services: 'one',
    summary: 'what lies in the built image, by size; what was trimmed; what the release before had',
    description:
      'Compares with the release that the device has. With --cve it asks the distribution what is known of these versions.',
    example: 'sovereign inspect sql --cve',
    flags: ['serial'],
    own: [{ flags: '--cve', description: 'known vulnerabilities, from the distribution’s own data' }],
    needs: [],
    load: async () => (await import('./commands/inspect.ts')).inspect,
  },
  {
    name: 'rollback',
    services: 'one',
    summary: 'back to the release before',
    example: 'sovereign rollback sql',
    flags: onDevice,
    needs: ['qemu'],
    load: async () => (await import('./commands/lifecycle.ts')).rollback,
  },
  {
    name: 'resize',
    services: 'one',
    words: '<size>',
    wordsUsage: 'SIZE',
    summary: 'make the data disk larger, never smaller: 512M, 8G',
    description:
      'Stops the service cleanly where it runs, and starts it again. Cut off, the next run goes on.',
    example: 'sovereign resize sql 8G',
    flags: onDevice,
    needs: ['qemu'],
    load: async () => (await import('./commands/resize.ts')).resize,
  },
  {
    name: 'remove',
    services: 'one',
    summary: 'take a service off the device; its data stays unless --data',
    example: 'sovereign remove sql',
    flags: ['serial', 'dryRun'],
    own: [{ flags: '--data', description: 'remove the data disk too; asks for the name of the service' }],
    needs: [],
    load: async () => (await import('./commands/remove.ts')).remove,
  },
  {
    name: 'adopt',
    services: 'none',
    summary: 'take over the secrets of a device that another workstation set up',
    description: 'Reads passwords and host keys back from the device, after a question.',
    example: 'sovereign adopt -s SERIAL',
    flags: ['serial', 'dryRun'],
    needs: ['ssh'],
    load: async () => (await import('./commands/adopt.ts')).adopt,
  },
  {
    name: 'selftest',
    services: 'none',
    summary: 'install what the tests need and run them all',
    example: 'sovereign selftest --quick',
    flags: ['base', 'dryRun'],
    own: [
      { flags: '--quick', description: 'leave out what boots a machine' },
      { flags: '--long', description: 'many more rounds; takes hours' },
    ],
    needs: [],
    load: async () => (await import('./commands/selftest.ts')).selftest,
  },
  {
    name: 'completion',
    services: 'none',
    words: '<shell>',
    wordsUsage: 'bash|zsh|fish',
    summary: 'print the completion script of bash, zsh or fish',
    example: 'source <(sovereign completion bash)',
    flags: [],
    needs: [],
    load: async () => (await import('./commands/completion.ts')).completion,
  },
];
