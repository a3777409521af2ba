import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PassThrough, type Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';
import { step } from '@sovereign/report';
import type Docker from 'dockerode';
import { fixedEnvironment, LastLines, type RunOptions } from '../run.ts';
import { engineError, type Engine } from './engine.ts';
import { interruptible } from './interrupt.ts';
import { OWNER_LABEL, ownerLabel, thisOwner, type Owner } from './owner.ts';
import { needTerminal, useTerminal } from './terminal.ts';

/** A container that was told to end and is still there after this time is left to the engine, in milliseconds. */
const GONE = 30_000;

export interface ContainerOptions extends RunOptions {
  /**
   * Gives the program the engine's own network, for what fetches; without it there is none. Not a network of its own:
   * proxies on the loopback address, name servers and ways through a VPN are there as they are for a program outside,
   * and an engine without a bridge has nothing else to give.
   */
  network?: boolean;
}

const guard = readFileSync(join(import.meta.dirname, 'guard.sh'), 'utf8');

/**
 * What the engine is asked for: the same mounts, environment and folder as in the tool root, and no right beyond
 * those of the caller. Pure.
 * @param image the id of the tools' image
 */
export function toContainer(
  image: string,
  argv: readonly string[],
  options: ContainerOptions,
  { user, owner }: { user: string; owner: Owner },
): Docker.ContainerCreateOptions {
  const terminal = options.stdio === 'inherit';
  const environment = Object.entries({ ...fixedEnvironment, ...options.env });
  // Through env(1), since the engine adds variables of its own.
  const program = ['/usr/bin/env', '-i', ...environment.map(([name, value]) => `${name}=${value}`), ...argv];
  return {
    Image: image,
    // A terminal is the program's own; what the guard watches is standard input.
    Entrypoint: terminal ? program : ['/bin/sh', '-c', guard, 'guard', ...program],
    Labels: { [OWNER_LABEL]: ownerLabel(owner) },
    User: user,
    WorkingDir: options.cwd ?? '/',
    // Else the container's number, which is another one each time.
    Hostname: 'sovereign',
    Tty: terminal,
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    HostConfig: {
      AutoRemove: true,
      NetworkMode: options.network === true ? 'host' : 'none',
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      // The user's folders keep their own labels of SELinux; nothing but them is mounted.
      SecurityOpt: ['no-new-privileges', 'label=disable'],
      // Folders belong to users of this machine, also where the engine maps users by default.
      UsernsMode: 'host',
      Tmpfs: { '/tmp': 'rw,exec,nosuid,nodev,mode=1777' },
      Mounts: (options.binds ?? []).map(({ source, target, write }) => ({
        Type: 'bind',
        Source: source,
        Target: target,
        ReadOnly: write !== true,
      })),
    },
  };
}

/**
 * Runs a program in a container of its own, which is gone when this ends, however it ends.
 * @throws SovereignError `tool-failed` as in the tool root; `engine-refused`, `engine-lost`, `no-space`
 */
export function runInContainer(
  engine: Engine,
  image: string,
  argv: readonly string[],
  options: ContainerOptions,
): Promise<void> {
  return interruptible((interrupt) => {
    const signal = AbortSignal.any([interrupt, ...(options.signal === undefined ? [] : [options.signal])]);
    return runOnce(engine, image, argv, { ...options, signal });
  });
}

async function runOnce(
  engine: Engine,
  image: string,
  argv: readonly string[],
  options: ContainerOptions & { signal: AbortSignal },
): Promise<void> {
  const { signal } = options;
  signal.throwIfAborted();
  const last = new LastLines(options.onLine);
  const what = `run ${argv[0] ?? ''}`;
  if (options.stdio === 'inherit') needTerminal(argv[0] ?? '');
  try {
    const wanted = toContainer(image, argv, options, { user: engine.user, owner: thisOwner() });
    const container = await engine.docker.createContainer(wanted);
    const run = new Run(engine, container.id);
    try {
      const status = await run.attend(options, last);
      if (status !== 0) throw last.failure(argv, { status });
    } finally {
      await run.remove();
    }
  } catch (error) {
    signal.throwIfAborted();
    throw engineError(error, what);
  }
}

/** One container from its start to its end. */
class Run {
  readonly #container: Docker.Container;
  readonly #streams: Docker;
  #gone: Promise<number> | undefined;
  #ended = false;

  constructor({ docker, streams }: Engine, id: string) {
    this.#container = docker.getContainer(id);
    this.#streams = streams;
  }

  /** Starts it and gives the status that it ended with. */
  async attend({ signal, stdio }: RunOptions & { signal: AbortSignal }, last: LastLines): Promise<number> {
    const stream = (await this.#streams.getContainer(this.#container.id).attach({
      stream: true,
      hijack: true,
      stdin: true,
      stdout: true,
      stderr: true,
    })) as unknown as Duplex;
    const { promise: calledOff, reject } = Promise.withResolvers<never>();
    const callOff = () => reject(signal.reason as Error);
    try {
      signal.throwIfAborted();
      signal.addEventListener('abort', callOff, { once: true });
      const { status: gone } = await this.#wait();
      this.#gone = gone;
      const output =
        stdio === 'inherit' ? useTerminal(this.#container, stream) : readLines(this.#streams, stream, last);
      const end = Promise.race([Promise.all([gone, output]), calledOff]);
      // Where the start fails nobody waits for the end.
      end.catch(() => undefined);
      await this.#container.start();
      const [status] = await end;
      this.#ended = true;
      return status;
    } finally {
      signal.removeEventListener('abort', callOff);
      stream.destroy();
    }
  }

  /**
   * Asks to be told when the container has ended and is removed. The engine has taken this note when the outer
   * promise is fulfilled, so no container ends unnoticed.
   */
  async #wait(): Promise<{ status: Promise<number> }> {
    const answer = await new Promise<NodeJS.ReadableStream>((resolve, reject) => {
      this.#streams.modem.dial(
        {
          path: `/containers/${this.#container.id}/wait?`,
          method: 'POST',
          isStream: true,
          statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
          options: { condition: 'removed' },
        },
        (error: Error | null, stream: unknown) =>
          error === null ? resolve(stream as NodeJS.ReadableStream) : reject(error),
      );
    });
    return {
      status: text(answer).then((json) => (JSON.parse(json) as { StatusCode: number }).StatusCode),
    };
  }

  /** Ends the container where it did not end by itself, and waits until it is gone. */
  async remove(): Promise<void> {
    if (this.#ended) return;
    await step('wait for the container to be gone', async () => {
      const removed = await this.#container.remove({ force: true }).then(
        () => true,
        (error: unknown) => (error as { statusCode?: number }).statusCode === 404,
      );
      if (removed) return;
      // The engine is at it already, or it is lost.
      await Promise.race([this.#gone, setTimeout(GONE, undefined, { ref: false })]).catch(() => undefined);
    });
  }
}

/** Gives what a program prints line by line, until it ends or the engine is lost. */
async function readLines(docker: Docker, stream: Duplex, last: LastLines): Promise<void> {
  const output = new PassThrough();
  docker.modem.demuxStream(stream, output, output);
  const end = () => output.end();
  finished(stream, { writable: false }).then(end, end);
  const lines = createInterface({ input: output });
  lines.on('line', (line) => last.add(line));
  await once(lines, 'close');
}
