import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Device, ServiceStatus, TailnetSettings, TailnetStatus } from '@sovereign/device';
import { defineService, type Release } from '@sovereign/service';
import { onTestFinished, vi } from 'vitest';

export const definition = defineService({
  name: 'sql',
  title: 'A service for tests',
  net: { index: 190 },
  bases: { debian: { packages: ['none'] } },
  accounts: [],
  resources: { memory: 64, cpus: 1 },
  data: { kind: 'postgresql', major: 17, collation: 'C', size: 64 },
  ports: [{ name: 'main', guest: 5432, host: 15432, scheme: 'postgresql', tailnet: 5432 }],
  secrets: [],
  units: ['postgresql'],
  health: { command: '/bin/true', deadline: 30 },
});

export const DEVICE = '11111111-1111-4111-8111-111111111111';
export const OTHER_DEVICE = '22222222-2222-4222-8222-222222222222';

/** A stream as a guest writes it, with one table of these rows and a piece of this size. */
export function stream({ rows = 3, head = 'sovereign-backup 1', major = 17, size = 2000 } = {}): string {
  const about = `about service sql\nabout kind postgresql\nabout major ${major}\n`;
  const piece = 'some rows\n'.repeat(size / 10);
  return `${head}\n${about}count ${rows} app.public.t\npiece database ${size}\n${piece}piece database 0\nend\n`;
}

/** A node as a guest tells of it. */
export const NODE: TailnetStatus = {
  state: 'running',
  address: '100.64.0.1',
  name: 'sql-desk.tail.example',
  id: 'n1',
  expires: null,
};

/** The identity of that node as a guest writes it. */
export function nodeStream({ service = 'sql', server = '', keys = 'the keys of a node' } = {}): string {
  const about = `about service ${service}\nabout kind tailnet\nabout node n1\nabout name ${NODE.name}\n`;
  const of = server === '' ? '' : `about server ${server}\n`;
  const piece = `piece tailscaled.state ${keys.length}\n${keys}piece tailscaled.state 0\n`;
  return `sovereign-backup 1\n${about}${of}${piece}end\n`;
}

/** What the device has, with data of a major version before today's. */
export const RELEASE: Release = {
  ...{ schema: 1, service: 'sql', base: 'debian', version: '16' },
  kernel: { sha256: '1'.repeat(64), size: 1 },
  root: { sha256: '2'.repeat(64), size: 1 },
  agent: { sha256: '3'.repeat(64) },
  data: { kind: 'postgresql', major: 16, collation: 'builtin C.UTF-8' },
  resources: { memory: 64, cpus: 1 },
  controlProtocol: 1,
  configSchema: 1,
};

/**
 * A workstation with settings of its own, and a guest that is a stand-in: `ssh` runs a script of this machine that
 * writes and takes streams, as the guest's own program does.
 */
export class StandInGuest {
  readonly folder = mkdtempSync(join(tmpdir(), 'sovereign backup '));
  readonly repository = join(this.folder, 'repository');
  /** What was done with the device's disk. */
  readonly did: string[] = [];
  /** What the device shall tell its owner of later. */
  readonly reminders: string[] = [];
  /** What the owner decided of the tailnet; undefined where it is off. */
  tailnet: TailnetSettings | undefined;

  constructor() {
    const bin = join(this.folder, 'bin');
    mkdirSync(bin);
    this.#program(join(bin, 'ssh'), [
      'for last; do :; done',
      `exec sh -c "$(printf '%s' "$last" | sed "s|'/usr/lib/sovereign/|'$0.|")"`,
    ]);
    this.#program(join(bin, 'ssh.backup'), [
      `cd '${this.folder}' || exit`,
      'case $1 in',
      'create) cat stream; [ ! -e fails ] || { echo "sovereign: the disk is gone" >&2; exit 1; } ;;',
      'restore) cat >restored; [ "$(tail -n 1 restored)" = end ] || { echo "sovereign: the backup was cut" >&2; exit 1; } ;;',
      'count) if [ -e counts ]; then cat counts; else grep -a ^count restored; fi ;;',
      'esac',
    ]);
    this.#program(join(bin, 'ssh.tailnet-node'), [
      `cd '${this.folder}' || exit`,
      '[ ! -e old-release ] || { echo "sh: tailnet-node: not found" >&2; exit 127; }',
      'case $1 in',
      'create) cat node ;;',
      'restore) cat >node-restored; [ ! -e fails ] || { echo "sovereign: the disk is gone" >&2; exit 1; } ;;',
      'esac',
    ]);
    vi.stubEnv('PATH', `${bin}:${process.env.PATH ?? ''}`);
    // What restic and we keep between runs.
    vi.stubEnv('XDG_CONFIG_HOME', join(this.folder, 'config'));
    this.write('stream', stream());
    this.write('node', nodeStream());
    onTestFinished(() => {
      vi.unstubAllEnvs();
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }

  read(name: string): string {
    return readFileSync(join(this.folder, name), 'utf8');
  }

  /** The device that the guest runs on. */
  device(id = DEVICE, status: Partial<ServiceStatus> = {}, called = 'local'): Device {
    const guest = {
      host: '127.0.0.1',
      port: 1,
      user: 'root',
      identityFile: '/nowhere',
      knownHostsFile: '/nowhere',
    } as const;
    const known: Pick<
      Device,
      | 'id'
      | 'kind'
      | 'inventory'
      | 'status'
      | 'ssh'
      | 'restore'
      | 'notify'
      | 'releases'
      | 'migrate'
      | 'tailnet'
    > = {
      id: called,
      kind: 'local',
      inventory: () => Promise.resolve({ id, services: ['sql'] }),
      status: () =>
        Promise.resolve([
          {
            name: 'sql',
            state: 'running',
            healthy: true,
            release: 'ab'.repeat(32),
            slot: 'a',
            trial: false,
            pid: 1,
            since: null,
            restarts: 0,
            endpoints: [],
            ...status,
          },
        ]),
      ssh: () => Promise.resolve(guest),
      notify: {
        kind: () => Promise.resolve(undefined),
        set: () => Promise.resolve('now'),
        off: () => Promise.resolve(),
        remind: (service, { from, text }) => {
          this.reminders.push(`${from.toISOString()} ${service}: ${text}`);
          return Promise.resolve();
        },
      },
      tailnet: {
        settings: () => Promise.resolve(this.tailnet),
        check: () => Promise.resolve(),
        login: () => Promise.reject(new Error('nobody logs in')),
        logout: () => Promise.reject(new Error('nobody logs out')),
        rename: () => Promise.reject(new Error('nobody is renamed')),
        settle: () => Promise.resolve(),
      },
      releases: () => Promise.resolve([RELEASE]),
      migrate: async (_bundle, { drain, fill }) => {
        this.did.push('closed');
        await drain(guest);
        this.did.push('new disk');
        await fill(guest);
        this.did.push('kept');
        return { release: 'cd'.repeat(32), slot: 'b', changed: true, bytesSent: 1 };
      },
      restore: async (_service, fill, { keep = true } = {}) => {
        this.did.push('new disk');
        try {
          await fill(guest);
        } catch (error) {
          this.did.push('old disk');
          throw error;
        }
        this.did.push(keep ? 'kept' : 'thrown away');
      },
    };
    return known as Device;
  }

  #program(path: string, lines: readonly string[]): void {
    writeFileSync(path, ['#!/bin/sh', ...lines, ''].join('\n'));
    chmodSync(path, 0o755);
  }
}
