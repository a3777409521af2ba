import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { debian, writeLock } from '@sovereign/base';
import { SovereignError, toSovereignError } from '@sovereign/report';
import { inside, ota, plug, reboot, restartAdbd, setUplink, start, stop, unlock, unplug } from './life.ts';
import {
  allPhones,
  adbPort,
  androids,
  findPhone,
  flavours,
  identify,
  serial,
  uplinks,
  type Elsewhere,
} from './state.ts';
import { phoneLockPath, phonePackages, phoneTree } from './tree.ts';
import { rustLockPath, rustPackages } from './vsock.ts';

const USAGE = `usage: phone COMMAND [NAME]

  start [NAME] [--android ${androids.join('|')}] [--root ${flavours.join('|')}] [--data MIB] [--cpus N]
        [--uplink-to PID[,PID] --resolver ADDRESS]
                          prints the serial as the last line; the adb server's port is in
                          /run/sovereign/virtual-phones/NAME. Its uplinks end in the network namespaces of those
                          processes, v4-rmnet0 in the first and wlan0 in the last, where they are given
  stop [NAME]             takes everything away, /data included
  reboot [NAME]           cuts the power and boots again, hooks before the unlock; --clean tells the phone
                          first; --unlock enters the PIN afterwards
  unlock [NAME]           enters the PIN
  unplug | plug [NAME]    adb goes away and comes back
  restart-adbd [NAME]     what init does at \`adb root\`: ends everything in adbd's cgroup
  ota [NAME] [--android RELEASE]   an update: other fingerprint, other crosvm, hooks gone
  uplink NAME ${uplinks.join('|')}   the default network changes
  shell [NAME [COMMAND…]] a root shell inside, past adb
  list                    NAME SERIAL PORT ANDROID ROOT, one phone a line
  prepare                 makes the tree that phones start from, where it is missing
  lock                    pins the packages that phones, and what compiles their vsock, are made of
NAME is "phone" where none is given and none other runs.`;

function oneOf<T extends string>(option: string, allowed: readonly T[], value: string): T {
  const found = allowed.find((one) => one === value);
  if (found !== undefined) return found;
  throw new SovereignError({
    code: 'usage',
    what: `${option} is one of ${allowed.join(', ')}`,
    on: value,
    exit: 2,
  });
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  strict: process.argv[2] !== 'shell',
  options: {
    android: { type: 'string' },
    root: { type: 'string', default: 'magisk' },
    data: { type: 'string', default: '16384' },
    cpus: { type: 'string', default: '8' },
    'uplink-to': { type: 'string' },
    resolver: { type: 'string' },
    clean: { type: 'boolean', default: false },
    unlock: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

/** Where the phone's uplinks end, where that is not a world of its own. */
function elsewhere(to: unknown, resolver: unknown): { elsewhere?: Elsewhere } {
  if (to === undefined && resolver === undefined) return {};
  const [mobile = 0, wifi = mobile] = String(to).split(',').map(Number);
  if (!(mobile > 0) || !(wifi > 0) || isIP(String(resolver)) !== 4) {
    throw new SovereignError({
      code: 'usage',
      what: '--uplink-to takes one or two process ids, and --resolver the address of a resolver there',
      exit: 2,
    });
  }
  return {
    elsewhere: {
      ends: { 'v4-rmnet0': identify(mobile), wlan0: identify(wifi) },
      resolver: String(resolver),
    },
  };
}

async function run(command: string | undefined, name: string | undefined): Promise<void> {
  const android =
    values.android === undefined ? undefined : oneOf('--android', androids, String(values.android));
  switch (command) {
    case 'start': {
      const root = oneOf('--root', flavours, String(values.root));
      const data = Number(values.data);
      const cpus = Number(values.cpus);
      if (!/^[a-z][a-z0-9-]{0,30}$/.test(name ?? 'phone') || !(data >= 64) || !(cpus >= 1)) {
        throw new SovereignError({
          code: 'usage',
          what: 'a NAME is of a-z, 0-9 and -, --data at least 64, --cpus at least 1',
          exit: 2,
        });
      }
      const options = {
        name: name ?? 'phone',
        android: android ?? '15',
        root,
        uplink: 'v4-rmnet0',
        data,
        cpus,
        ...elsewhere(values['uplink-to'], values.resolver),
      } as const;
      process.stdout.write(`${await start(options)}\n`);
      return;
    }
    case 'stop':
      return stop(name);
    case 'reboot':
      return reboot(name, { clean: values.clean === true, unlock: values.unlock === true });
    case 'unlock':
      return unlock(await findPhone(name));
    case 'unplug':
      return unplug(name);
    case 'plug':
      return plug(name);
    case 'restart-adbd':
      return restartAdbd(name);
    case 'ota':
      return ota(name, android);
    case 'uplink':
      return setUplink(name, oneOf('uplink', uplinks, positionals[2] ?? ''));
    case 'shell': {
      const argv = process.argv.slice(name === undefined ? 3 : 4);
      const { exitCode } = await inside(await findPhone(name), argv.length === 0 ? ['sh'] : argv, 'inherit');
      process.exitCode = exitCode ?? 1;
      return;
    }
    case 'list':
      for (const phone of await allPhones()) {
        const fields = [phone.name, serial(phone), adbPort(phone), phone.android, phone.root];
        process.stdout.write(`${fields.join(' ')}\n`);
      }
      return;
    case 'prepare':
      // Elsewhere there are no test phones, which is for their tests to say.
      if (process.arch === 'x64') await phoneTree();
      return;
    case 'lock': {
      const lock = async (path: string, packages: readonly string[]) =>
        writeLock(path, await debian.lock({ packages, arch: 'amd64' }));
      await lock(phoneLockPath, phonePackages);
      await lock(rustLockPath, rustPackages);
      return;
    }
    default:
      throw new SovereignError({
        code: 'usage',
        what: 'no such command',
        on: command ?? '',
        hint: USAGE,
        exit: 2,
      });
  }
}

const [command, name] = positionals;
if (values.help === true) {
  process.stdout.write(`${USAGE}\n`);
} else {
  await run(command, name).catch((thrown: unknown) => {
    const { what, on, hint, exit } = toSovereignError(thrown);
    process.stderr.write(`error: ${what}\n   on: ${on ?? ''}\n next: ${hint ?? ''}\n`);
    process.exitCode = exit;
  });
}
