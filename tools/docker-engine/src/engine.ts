import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SovereignError, step } from '@sovereign/report';
import Docker from 'dockerode';

/** Longest wait for the engine to answer, to be gone, and to stop, in milliseconds. */
const PATIENCE = 60_000;

const serve = join(import.meta.dirname, 'serve.sh');

/**
 * A real dockerd with everything of its own below a temporary folder, in namespaces that end with the process that
 * made them: no engine of this machine's user is touched. It makes no bridge and no firewall rule, and its containers
 * have no network.
 */
export class TestEngine {
  /** For `DOCKER_HOST`. */
  readonly host: string;
  readonly docker: Docker;
  readonly #folder: string;
  readonly #process: ChildProcess;

  private constructor(folder: string, process: ChildProcess) {
    this.#folder = folder;
    this.#process = process;
    this.host = `unix://${join(folder, 'sock')}`;
    this.docker = new Docker({ socketPath: join(folder, 'sock') });
  }

  /** @throws SovereignError `needs-root`, or `no-engine` with what dockerd said last */
  static async start(): Promise<TestEngine> {
    if (process.getuid?.() !== 0) {
      throw new SovereignError({
        code: 'needs-root',
        what: 'the tests of --tools docker start a Docker engine of their own, which takes root',
        on: 'dockerd',
        hint: 'Run them as root',
      });
    }
    // Short: the path of a socket has 108 characters at most.
    const folder = await mkdtemp(join(tmpdir(), 'dockerd-'));
    const engine = new TestEngine(folder, await launch(folder));
    try {
      await step('wait for the Docker engine', () => engine.#answers());
      return engine;
    } catch (error) {
      const said = await readFile(join(folder, 'log'), 'utf8');
      await engine.stop();
      throw new SovereignError({
        code: 'no-engine',
        what: `the Docker engine of the tests did not start: ${(error as Error).message}`,
        on: 'dockerd',
        hint: `It printed:\n${said.trim().split('\n').slice(-8).join('\n')}`,
      });
    }
  }

  /** Kills the engine alone, as a crash would. */
  async kill(): Promise<void> {
    this.#process.stdin?.write('kill\n');
    await this.#until(
      () =>
        this.docker.ping().then(
          () => false,
          () => true,
        ),
      'it is still there',
    );
  }

  /** Starts it again on what it left. */
  async restart(): Promise<void> {
    this.#process.stdin?.write('start\n');
    await step('wait for the Docker engine', () => this.#answers());
  }

  /** Ends it with all that runs in it, and removes what it kept. */
  async stop(): Promise<void> {
    await step('wait for the Docker engine to stop', async () => {
      const { exitCode, signalCode } = this.#process;
      const exited = exitCode === null && signalCode === null ? once(this.#process, 'exit') : undefined;
      this.#process.stdin?.end();
      const timer = setTimeout(() => this.#process.kill('SIGKILL'), PATIENCE);
      await exited;
      clearTimeout(timer);
      await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
    });
  }

  #answers = (): Promise<void> =>
    this.#until(
      () =>
        this.docker.ping().then(
          () => true,
          () => false,
        ),
      'it does not answer',
    );

  async #until(holds: () => Promise<boolean>, otherwise: string): Promise<void> {
    const deadline = Date.now() + PATIENCE;
    while (!(await holds())) {
      if (this.#process.exitCode !== null) throw new Error(`it ended with status ${this.#process.exitCode}`);
      if (Date.now() > deadline) throw new Error(`${otherwise} after ${PATIENCE / 1000} s`);
      await sleep(100);
    }
  }
}

async function launch(folder: string): Promise<ChildProcess> {
  const config = join(folder, 'daemon.json');
  await writeFile(config, '{}');
  const engine = [
    'dockerd',
    ...['--config-file', config],
    ...['--host', `unix://${join(folder, 'sock')}`],
    ...['--data-root', join(folder, 'data')],
    ...['--exec-root', join(folder, 'run')],
    ...['--pidfile', join(folder, 'pid')],
    ...['--storage-driver', 'overlay2'],
    ...['--bridge', 'none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false'],
  ];
  const log = openSync(join(folder, 'log'), 'w');
  const child = spawn(
    'unshare',
    ['--mount', '--pid', '--fork', '--kill-child', '--', 'sh', serve, ...engine],
    // No proxy or setting of the environment is this engine's.
    { stdio: ['pipe', log, log], env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: folder } },
  );
  closeSync(log);
  child.stdin?.on('error', () => undefined);
  await once(child, 'spawn');
  return child;
}
