import type { Device, ServiceStatus } from '@sovereign/device';
import type { FoundService } from '@sovereign/service';
import type { Session } from '../session.ts';
import { service } from './services.ts';
import { fakeStreams } from './streams.ts';

/** What a session's last build left of every service. */
export const BUILT = 'ba'.repeat(32);

/** A stand-in for a device: remembers what it was asked to do. */
export function fakeDevice(rest: Partial<Device> = {}): Device & { did: string[] } {
  const did: string[] = [];
  const doing =
    <T>(name: string, value: T) =>
    (...words: unknown[]): Promise<T> => {
      const [first, ...others] = words as [{ name: string }, ...unknown[]];
      did.push([name, first.name, ...others.map((word) => JSON.stringify(word))].join(' '));
      return Promise.resolve(value);
    };
  return {
    did,
    id: 'local',
    kind: 'local',
    inventory: () => Promise.resolve({ id: 'a4b9e0f2', services: ['sql'] }),
    preparation: () => Promise.resolve(['the folder /data/sovereign']),
    adopt: () => {
      did.push('adopt');
      return Promise.resolve(['sql']);
    },
    probe: () => Promise.resolve([{ name: 'qemu', ok: true, evidence: '/usr/bin/qemu' }]),
    fixable: () => Promise.resolve([]),
    fix: () => {
      did.push('fix');
      return Promise.resolve();
    },
    deploy: () => Promise.reject(new Error('commands deploy through Nx')),
    start: (service) => doing('start', undefined)(service),
    stop: doing('stop', undefined),
    waitHealthy: doing('wait', undefined),
    status: (services) => Promise.resolve(services.map(({ name }) => status({ name }))),
    releases: () => Promise.resolve([]),
    rollback: doing('rollback', { from: 'f'.repeat(64), to: 'e'.repeat(64) }),
    resize: (service, to) => doing('resize', { from: 2 ** 31, to, started: true })(service, to),
    remove: doing('remove', undefined),
    restore: doing('restore', undefined),
    undoRestore: doing('undo restore', undefined),
    discardKept: doing('discard kept', true),
    migrate: () => Promise.reject(new Error('nothing is moved')),
    // eslint-disable-next-line @typescript-eslint/require-await
    logs: async function* ({ name }, { boot }) {
      yield `${name} first ${boot ? 'boot' : 'log'}`;
      yield 'second';
    },
    ssh: () => Promise.reject(new Error('no guest')),
    secret: () => Promise.resolve('s3:cr\\et'),
    startOrder: (asked) => Promise.resolve([...asked]),
    settings: () => Promise.resolve({}),
    changeSettings: doing('change settings', {}),
    invited: () => Promise.resolve(undefined),
    invite: doing('invite', true),
    applySettings: doing('apply settings', 'live' as const),
    secrets: {
      list: ({ secrets }) =>
        Promise.resolve(
          secrets.map(({ name, description }) => ({ name, description, state: 'made', pending: false })),
        ),
      candidates: () => Promise.resolve(['s3:cr\\et']),
      set: doing('set', 'live' as const),
      rotate: doing('rotate', { rotated: ['postgres-password'], finished: [], applied: 'live' as const }),
    },
    tailnet: {
      settings: () => Promise.resolve(undefined),
      check: () => Promise.resolve(),
      login: doing('tailnet login', undefined),
      logout: doing('tailnet logout', undefined),
      rename: doing('tailnet rename', undefined),
      settle: () => {
        did.push('tailnet settle');
        return Promise.resolve();
      },
    },
    notify: {
      kind: () => Promise.resolve(undefined),
      set: (kind) => {
        did.push(`notify ${kind}`);
        return Promise.resolve('now' as const);
      },
      off: () => {
        did.push('notify off');
        return Promise.resolve();
      },
      remind: (service) => {
        did.push(`remind ${service}`);
        return Promise.resolve();
      },
    },
    inspector: {
      inspect: () => Promise.reject(new Error('nothing is known')),
      askGuest: () => Promise.reject(new Error('no guest')),
      renewNetwork: doing('renew network', undefined),
    },
    ...rest,
  };
}

export const status = (rest: Partial<ServiceStatus> = {}): ServiceStatus => ({
  name: 'sql',
  state: 'running',
  healthy: true,
  release: 'ab'.repeat(32),
  slot: 'a',
  trial: false,
  pid: 42,
  since: '2026-11-23T10:00:00Z',
  restarts: 0,
  endpoints: [{ name: 'main', url: 'postgresql://postgres@127.0.0.1:15432/postgres' }],
  ...rest,
});

interface Wish extends Partial<Omit<Session, 'devices' | 'flags'>> {
  device?: Device;
  flags?: Partial<Session['flags']>;
  tty?: boolean;
}

/** A session with one service and one stand-in device. */
export function fakeSession({ device = fakeDevice(), flags = {}, tty = false, ...rest }: Wish = {}) {
  const { streams, out, err } = fakeStreams({ tty });
  const services: FoundService[] = [service('sql', 2)];
  const session: Session = {
    root: '/nowhere',
    streams,
    services,
    chosen: services,
    named: true,
    words: [],
    own: {},
    signal: new AbortController().signal,
    devices: {
      pick: () => Promise.resolve(device),
      used: () => Promise.resolve([device]),
      all: () => Promise.resolve([device]),
      built: () => Promise.resolve(BUILT),
    },
    flags: { json: false, quiet: false, verbose: false, install: true, ...flags },
    ...rest,
  };
  return { session, out, err };
}
