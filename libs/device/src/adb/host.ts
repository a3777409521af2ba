import { join } from 'node:path/posix';
import { buffer } from 'node:stream/consumers';
import { note, SovereignError } from '@sovereign/report';
import { sha256 } from '@sovereign/store';
import { pack } from 'tar-stream';
import { crosvmCommand } from '../crosvm/command.ts';
import { deviceSettings } from '../device-settings.ts';
import type {
  DeviceSettings,
  Host,
  Machine,
  Platform,
  Probe,
  ScriptOptions,
  ScriptResult,
  VmmCommand,
} from '../host.ts';
import { readIdentity } from '../identity.ts';
import type { NetworkMode, NetworkPlan } from '../network/guest.ts';
import type { Capabilities } from './capabilities.ts';
import { fixArguments, fixes, fixScript, undoScript, type Fix } from './fix.ts';
import type { Forwards } from './forward.ts';
import { bootHook, hookPath } from './hook.ts';
import { phoneLines } from './lines.ts';
import { lockDevice, type DeviceLock } from './lock.ts';
import { parseProbe } from './probe.ts';
import { platformScript, probeScript } from './probe-script.ts';
import { probes } from './probes.ts';
import { notWritten, upload } from './put.ts';
import { runScript, type PhoneResult, type PhoneScript } from './script.ts';
import type { PhoneShell } from './shell.ts';
import {
  coversFile,
  coversFolder,
  emptySnapshot,
  parseSnapshot,
  snapshotScript,
  type Snapshot,
} from './snapshot.ts';

/** The device's folder on a phone: encrypted by the device, so there before the first unlock. */
export const PHONE_ROOT = '/data/sovereign';
/** MiB of /data that no service may use. */
const RESERVE = 512;
/** Status by which our scripts say that a file or folder is not there. */
const MISSING = 3;
/** Milliseconds that a short script may take; a phone that sleeps deeply needs seconds to wake. */
const TIMEOUT = 60_000;

export interface AdbHostOptions {
  serial: string;
  shell: PhoneShell;
  forwards: Forwards;
  /** Default: {@link PHONE_ROOT}. */
  root?: string;
}

/**
 * Removes the hook and what is ours in the device's folder, also what a connection that was cut left half written.
 * Anything else there is left alone, and the folder with it: its names are printed.
 */
const LEAVE = `
[ -z "$2" ] || rm -f "$2" "$2.tmp"
cd "$1" 2>/dev/null || exit 0
rm -rf device.conf platform platform.sh net keeper notify device.conf.tmp platform.tmp platform.sh.tmp || exit 1
[ "$3" = all ] || exit 0
rm -rf device.json ports.json agent store lock lock.owner lock.owner.tmp device.json.tmp ports.json.tmp || exit 1
rmdir services 2>/dev/null
cd / && rmdir "$1" 2>/dev/null || ls -1A "$1"
`;

/** A phone as a device: adb, root's shell there, crosvm as VMM. */
export class AdbHost implements Host {
  readonly id: string;
  readonly kind = 'adb';
  readonly root: string;
  readonly #shell: PhoneShell;
  readonly #forwards: Forwards;
  #capabilities: Promise<Capabilities> | undefined;
  #lock: DeviceLock | undefined;
  #snapshot: Promise<Snapshot> | undefined;
  /** Work of this process that wants the device for itself, one after another. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor({ serial, shell, forwards, root = PHONE_ROOT }: AdbHostOptions) {
    this.id = serial;
    this.root = root;
    this.#shell = shell;
    this.#forwards = forwards;
  }

  #path(path: string): string {
    return join(this.root, path);
  }

  /** One round trip. What a lost lock may let others change is not gone on with. */
  #run(script: string, args: readonly string[], options: PhoneScript = {}): Promise<PhoneResult> {
    const done = runScript(this.#shell, script, args, { timeout: TIMEOUT, ...options });
    return this.#lock === undefined ? done : Promise.race([done, this.#lock.lost]);
  }

  /** Forgets what was seen: something is about to change. Gives the lines that the script printed. */
  async #change(
    path: string,
    script: string,
    args: readonly string[],
    input?: Uint8Array,
  ): Promise<string[]> {
    this.#snapshot = undefined;
    const { status, stdout, stderr } = await this.#run(script, args, { input });
    this.#snapshot = undefined;
    if (status !== 0) throw notWritten(this.id, path, stderr);
    return stdout
      .toString()
      .split('\n')
      .filter((line) => line !== '');
  }

  async probe(): Promise<Probe[]> {
    return probes(await this.capabilities());
  }

  async fixable(): Promise<string[]> {
    return (await this.#fixes()).map(({ what }) => what);
  }

  async fix(): Promise<void> {
    const needed = await this.#fixes();
    if (needed.length === 0) return;
    await this.#change(this.root, fixScript, [this.root, ...fixArguments(needed)]);
    this.#capabilities = undefined;
  }

  async #fixes(): Promise<Fix[]> {
    const capabilities = await this.capabilities();
    return fixes.filter(({ needed }) => needed(capabilities));
  }

  /** What this phone can do; asked once. */
  capabilities(): Promise<Capabilities> {
    this.#capabilities ??= this.#run(probeScript, [this.root]).then(({ stdout }) =>
      parseProbe(stdout.toString()),
    );
    return this.#capabilities;
  }

  async sh(script: string, args: readonly string[], options: ScriptOptions = {}): Promise<ScriptResult> {
    const { status, stdout, stderr } = await this.#run(script, args, options);
    if (options.readOnly !== true) this.#snapshot = undefined;
    return { status, stdout: stdout.toString(), stderr };
  }

  /** What the device holds, while nobody else may change it. */
  async #seen(): Promise<Snapshot | undefined> {
    if (this.#lock === undefined) return undefined;
    this.#snapshot ??= this.#look();
    return this.#snapshot;
  }

  async #look(): Promise<Snapshot> {
    const hook = (await this.#hook()) ?? '';
    const { status, stdout, stderr } = await this.#run(snapshotScript, [this.root, hook]);
    if (status === MISSING) return emptySnapshot;
    if (status !== 0) throw notRead(this.id, this.root, stderr);
    return parseSnapshot(stdout);
  }

  async read(path: string): Promise<Buffer | undefined> {
    const seen = coversFile(path) ? await this.#seen() : undefined;
    if (seen !== undefined) return seen.files.get(path);
    const { status, stdout, stderr } = await this.#run(`[ -f "$1" ] || exit ${MISSING}; cat "$1"`, [
      this.#path(path),
    ]);
    if (status === MISSING) return undefined;
    if (status !== 0) throw notRead(this.id, path, stderr);
    return stdout;
  }

  async write(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
    await this.#writeAt(this.#path(path), content, mode);
  }

  /** Checked by its size before it is renamed: a connection that is cut looks like the end of the input. */
  async #writeAt(path: string, content: string | Uint8Array, mode: number): Promise<void> {
    const input = Buffer.from(content);
    const script = `
      new=$1.tmp
      mkdir -p "\${1%/*}" && cat >"$new" && [ "$(stat -c %s "$new")" = "$2" ] && chmod "$3" "$new" &&
        { fsync "$new" 2>/dev/null || sync; } && mv -f "$new" "$1" || { rm -f "$new"; exit 1; }`;
    await this.#change(path, script, [path, String(input.length), mode.toString(8)], input);
  }

  /** As one archive, for one round trip; the sum of the sizes tells one that was cut off. */
  async writeFolder(path: string, files: Readonly<Record<string, string>>): Promise<void> {
    const script = `
      new=$1.new
      rm -rf "$new" && mkdir -p "$new" && tar -xf - -C "$new" && [ "$(cat "$new"/* | wc -c)" = "$2" ] &&
        sync && rm -rf "$1" && mv -f "$new" "$1" || { rm -rf "$new"; exit 1; }`;
    const tar = pack();
    let size = 0;
    for (const [name, content] of Object.entries(files)) {
      tar.entry({ name, mode: 0o644, mtime: new Date(0), uid: 0, gid: 0 }, content);
      size += Buffer.byteLength(content);
    }
    tar.finalize();
    await this.#change(path, script, [this.#path(path), String(size)], await buffer(tar));
  }

  async list(folder: string): Promise<string[]> {
    const seen = coversFolder(folder) ? await this.#seen() : undefined;
    if (seen !== undefined) return [...(seen.folders.get(folder) ?? [])].sort();
    const { stdout } = await this.#run('ls -1A "$1" 2>/dev/null', [this.#path(folder)]);
    return stdout
      .toString()
      .split('\n')
      .filter((name) => name !== '')
      .sort();
  }

  async remove(path: string): Promise<void> {
    await this.#change(path, 'rm -rf "$1"', [this.#path(path)]);
  }

  async rename(from: string, to: string): Promise<void> {
    // Onto a folder, mv would put it inside.
    await this.#change(from, '[ ! -d "$2" ] && mv -f "$1" "$2"', [this.#path(from), this.#path(to)]);
  }

  async freeSpace(): Promise<number> {
    const seen = await this.#seen();
    if (seen !== undefined && seen.space > 0) return seen.space;
    const script = `at=$1; while [ ! -d "$at" ]; do at=\${at%/*}; done; stat -f -c '%a %S' "\${at:-/}"`;
    const { status, stdout, stderr } = await this.#run(script, [this.root]);
    const [blocks, size] = stdout.toString().trim().split(' ').map(Number);
    if (status !== 0 || blocks === undefined || size === undefined) throw notRead(this.id, this.root, stderr);
    return blocks * size;
  }

  async digests(paths: readonly string[]): Promise<Map<string, string>> {
    const seen = await this.#seen();
    const found = new Map<string, string>();
    const asked = paths.filter((path) => {
      const known = seen?.digests.get(path);
      if (known !== undefined) found.set(path, known);
      // The list of a folder tells without a round trip that a file is not there.
      const folder = path.slice(0, path.lastIndexOf('/'));
      const there = seen?.folders.get(folder)?.includes(path.slice(folder.length + 1));
      return known === undefined && (seen === undefined || there === true);
    });
    if (asked.length === 0) return found;
    // A phone has many processors. Each line is written at once: toybox's own come in pieces, and would mix.
    const script = `
      cd "$1" || exit 0
      shift
      # shellcheck disable=SC2005
      for file; do [ ! -f "$file" ] || echo "$(sha256sum "$file")" & done
      wait`;
    const { status, stdout, stderr } = await this.#run(script, [this.root, ...asked], { timeout: 600_000 });
    if (status !== 0) throw notRead(this.id, this.root, stderr);
    for (const line of stdout.toString().split('\n')) {
      const [, digest, path] = /^([0-9a-f]{64}) [ *]?(.+)$/.exec(line) ?? [];
      if (digest !== undefined && path !== undefined) found.set(path, digest);
    }
    return found;
  }

  async put(local: string, path: string, digest: string, onBytes: (count: number) => void): Promise<number> {
    this.#snapshot = undefined;
    const sent = upload(this.#shell, this.id, { local, path: this.#path(path), sha256: digest, onBytes });
    return this.#lock === undefined ? sent : Promise.race([sent, this.#lock.lost]);
  }

  async makeDisk(path: string, size: number, mark: string, allocated: boolean): Promise<void> {
    const script = `
      mkdir -p "\${1%/*}" && rm -f "$1" && ${extend(allocated)} "$1" && chmod 600 "$1" &&
        printf '%s' "$3" 1<>"$1" && [ "$(stat -c %s "$1")" = "$2" ] &&
        { fsync "$1" 2>/dev/null || sync; } || { rm -f "$1"; exit 1; }`;
    await this.#change(path, script, [this.#path(path), String(size), mark]);
  }

  async growDisk(path: string, size: number, allocated: boolean): Promise<void> {
    const script = `
      ${extend(allocated)} "$1" && [ "$(stat -c %s "$1")" = "$2" ] && { fsync "$1" 2>/dev/null || sync; }`;
    await this.#change(path, script, [this.#path(path), String(size)]);
  }

  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(() => this.#exclusively(work));
    this.#queue = done.catch(() => undefined);
    return done;
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    this.#lock = await lockDevice(this.#shell, this.id, this.root);
    try {
      return await work();
    } finally {
      this.#snapshot = undefined;
      const lock = this.#lock;
      this.#lock = undefined;
      await lock.release();
    }
  }

  async portIsFree(port: number): Promise<boolean> {
    const seen = (await this.#seen()) ?? (await this.#look());
    return !seen.listening.has(port);
  }

  forward(port: number): Promise<number> {
    return this.#forwards.open(port);
  }

  endForwards(ports: readonly number[]): Promise<void> {
    return this.#forwards.close(ports);
  }

  async name(): Promise<string> {
    return (await this.capabilities()).model;
  }

  async arch(): Promise<'amd64' | 'arm64'> {
    return (await this.capabilities()).arch;
  }

  async platform(): Promise<Platform> {
    return { line: (await this.capabilities()).platform, script: `${platformScript}platform\n` };
  }

  /** gvproxy finds no resolver on Android: guests are told those of the settings, else those of the phone's uplink. */
  async network(): Promise<NetworkPlan> {
    const settings = await this.#owner();
    const dns = settings.dns ?? (await this.capabilities()).dns;
    if (dns.length === 0) {
      throw new SovereignError({
        code: 'no-resolver',
        what: 'the phone has no network that names a resolver, and the settings name none',
        on: this.id,
        hint: 'Connect the phone to a network, or give the addresses: --dns 192.0.2.1',
      });
    }
    return { mode: settings.network ?? 'vsock', dns };
  }

  async networkMode(): Promise<NetworkMode> {
    return (await this.#owner()).network ?? 'vsock';
  }

  async settings(): Promise<DeviceSettings> {
    const hook = await this.#hook();
    return { reserve: RESERVE, awake: true, ...(hook === undefined ? {} : { hook }) };
  }

  async #hook(): Promise<string | undefined> {
    return hookPath((await this.capabilities()).root);
  }

  /** What the owner decided for this device on this workstation. */
  async #owner() {
    const identity = await readIdentity(this);
    return deviceSettings(identity?.id);
  }

  async preparation(network?: 'vsock' | 'tap'): Promise<string[]> {
    const hook = await this.#hook();
    const { root } = await this.capabilities();
    const mode = network ?? (await this.#owner()).network;
    return [
      `the folder ${this.root}, for images, data and logs`,
      hook === undefined
        ? `no boot hook: ${root} has none, so services have to be started again after a restart of the phone`
        : `the boot hook ${hook}, which starts services when the phone starts`,
      'while a service is wanted: a wake lock, and Wi-Fi kept from saving power',
      mode === 'tap'
        ? 'while a service runs: a bridge, routing rules and firewall chains of our own'
        : 'while a service runs: a network program, and no route and no firewall rule',
    ];
  }

  async prepare(): Promise<void> {
    if (this.#lock?.held === false) {
      await this.#change(this.root, 'mkdir -p "$1" && chmod 700 "$1"', [this.root]);
      this.#lock = await lockDevice(this.#shell, this.id, this.root);
    }
    const { foreign } = await this.capabilities();
    if (foreign.length > 0) note(`left alone in ${this.root}, since it is not ours: ${foreign.join(', ')}`);
    const hook = await this.#hook();
    if (hook === undefined) {
      note(`${this.id} has no boot hook: after a restart of the phone, services have to be started again`);
      return;
    }
    const content = bootHook(this.root);
    if ((await this.#seen())?.digests.get(hook) === sha256(content)) return;
    await this.#writeAt(hook, content, 0o755);
  }

  async leave(data: boolean): Promise<void> {
    const hook = (await this.#hook()) ?? '';
    await this.#change(this.root, undoScript, [this.root]);
    const left = await this.#change(this.root, LEAVE, [this.root, hook, data ? 'all' : 'keep']);
    if (left.length > 0) note(`left alone in ${this.root}, since it is not ours: ${left.join(', ')}`);
  }

  async command(machine: Machine): Promise<VmmCommand> {
    const { cpus } = await this.#owner();
    return crosvmCommand(machine, await this.capabilities(), cpus === undefined ? {} : { cpus });
  }

  lines(path: string, follow: boolean, signal: AbortSignal): AsyncIterable<string> {
    return phoneLines(this.#shell, this.#path(path), follow, signal);
  }
}

/** Gives a file the size in `$2`, with the space for it or without; neither makes it smaller. */
const extend = (allocated: boolean): string => (allocated ? 'fallocate -l "$2"' : 'truncate -s ">$2"');

const notRead = (serial: string, path: string, said: string): SovereignError =>
  new SovereignError({
    code: 'not-read',
    what: `the phone could not read it: ${said.trim()}`,
    on: `${serial}: ${path}`,
    hint: 'Look at it on the phone, and run the command again',
  });
