import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineService, makeRelease, type ServiceDefinition } from '@sovereign/service';
import { sha256 } from '@sovereign/store';
import { onTestFinished, vi } from 'vitest';
import { bundleAgent } from '../agent-bundle.ts';
import type { Bundle } from '../contract.ts';
import { HostedDevice } from '../device.ts';
import { LocalHost } from '../local/host.ts';

const launcher = join(import.meta.dirname, '../../../../packages/device-agent/src');

/** Where the ports begin that are held for {@link ownNumber}, and how many there are. */
const HELD = 25_000;
const NUMBERS = 40;

/**
 * Test files run side by side, those of another checkout too, and their machines listen on this machine: no two of them
 * want the same port. A file has its number for as long as its process holds the port that stands for it.
 */
async function ownNumber(): Promise<number> {
  for (let number = 0; number < NUMBERS; number++) {
    const held = createServer();
    const isOurs = await new Promise<boolean>((resolve) => {
      held.once('error', () => resolve(false));
      held.listen({ port: HELD + number, host: '127.0.0.1', exclusive: true }, () => resolve(true));
    });
    held.unref();
    if (isOurs) return number;
  }
  throw new Error(`all ports from ${HELD} to ${HELD + NUMBERS - 1} are taken`);
}

const number = await ownNumber();
/** The one after it is nobody's, either. */
export const postgresPort = 25_432 + 2 * number;

/** A service for tests; its ports are far from those of real ones. */
export const definition = defineService({
  name: 'sql',
  title: 'A service for tests',
  // Its SSH port follows from it.
  net: { index: 190 - 2 * number },
  bases: { debian: { packages: ['none'] } },
  accounts: [],
  resources: { memory: 64, cpus: 1 },
  data: { kind: 'postgresql', major: 17, collation: 'C', size: 64 },
  ports: [
    {
      name: 'postgres',
      guest: 5432,
      host: postgresPort,
      tailnet: 5432,
      scheme: 'postgresql',
      user: 'postgres',
      path: '/postgres',
    },
  ],
  secrets: [{ name: 'postgres-password', make: 'password', description: 'for tests' }],
  units: ['postgresql'],
  health: { command: '/bin/true', deadline: 30 },
});

/** Another service of the same workspace. */
const other = defineService({ ...definition, name: 'other', net: { index: 191 }, ports: [] });

/** A home, a device's folder and a QEMU that is a stand-in; paths have blanks and a comma in them. */
export class Workstation {
  readonly folder: string;
  readonly root: string;
  readonly host: LocalHost;
  readonly device: HostedDevice;

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'sovereign device, '));
    this.root = join(this.folder, 'local device');
    const bin = join(this.folder, 'bin');
    mkdirSync(bin);
    this.program('qemu-system-aarch64', [
      '[ "$1" != --version ] || { echo "QEMU emulator version 9.1.0 (stand-in)"; exit; }',
      `exec '${process.execPath}' '${join(import.meta.dirname, 'stand-in-qemu.ts')}' "$@"`,
    ]);
    vi.stubEnv('PATH', `${bin}:${process.env.PATH ?? ''}`);
    vi.stubEnv('XDG_CONFIG_HOME', join(this.folder, 'config'));
    this.host = new LocalHost(this.root);
    this.device = new HostedDevice(this.host);
    onTestFinished(async () => {
      await this.device.stop(definition, 1);
      rmSync(this.folder, { recursive: true, force: true });
      vi.unstubAllEnvs();
    });
  }

  /** Puts a shell script of this name before all other programs. */
  program(name: string, lines: readonly string[]): void {
    const path = join(this.folder, 'bin', name);
    writeFileSync(path, ['#!/bin/sh', ...lines, ''].join('\n'));
    chmodSync(path, 0o755);
  }

  /** A release whose guest behaves in this way; the rest of the text makes it another one. */
  async bundle(root: string, changes: Partial<ServiceDefinition> = {}): Promise<Bundle> {
    const files = {
      kernel: this.#file('kernel'),
      root: this.#file(root),
      agent: join(this.folder, 'agent', 'agent.tar'),
      gvproxy: { amd64: this.#file('gvproxy amd64'), arm64: this.#file('gvproxy arm64') },
    };
    const agent = await bundleAgent(launcher, join(this.folder, 'agent'));
    const changed = { ...definition, ...changes };
    const image = (text: string) => ({ name: 'image', sha256: sha256(text), size: text.length });
    const release = makeRelease(changed, {
      kernel: { schema: 1, kind: 'kernel', version: '6.12', image: image('kernel'), config: image('config') },
      root: { schema: 1, kind: 'root', service: 'sql', base: 'debian', version: '17', image: image(root) },
      agent,
      network: {
        schema: 1,
        kind: 'network',
        gvproxy: { amd64: image('gvproxy amd64'), arm64: image('gvproxy arm64') },
        gvforwarder: { amd64: image('gvforwarder amd64'), arm64: image('gvforwarder arm64') },
        tailscaled: { amd64: image('tailscaled amd64'), arm64: image('tailscaled arm64') },
      },
    });
    return {
      definition: changed,
      release,
      files,
      neighbours: [{ name: 'other', address: '192.168.127.191', definition: other }],
    };
  }

  #file(content: string): string {
    const path = join(this.folder, sha256(content));
    writeFileSync(path, content);
    return path;
  }
}
