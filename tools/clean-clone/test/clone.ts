import { mkdirSync, mkdtempSync } from 'node:fs';
import { copyFile, glob, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cacheDir, workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';

/** What a user would not have: this run's Nx and Vitest, and where its own device and settings are. */
const ours = /^(NX_|VITEST|TEST$|NODE_ENV$|NODE_OPTIONS$|FORCE_COLOR$|XDG_|SOVEREIGN_(EVENTS|LONG)$)/;

export interface Ended {
  stdout: string;
  stderr: string;
  exitCode: number | undefined;
}

/** Where somebody else works: what is in the environment there, and what the commands are started by. */
export interface Surroundings {
  env?: Readonly<Record<string, string>>;
  /** A command that starts the one that follows it. */
  within?: readonly string[];
  /** The locked dependencies are those of this checkout, instead of what the first command brings. */
  installed?: boolean;
}

/**
 * A clone of this checkout with a home of its own, both with blanks in their paths. What is changed here and not yet
 * committed is in it; files that Git does not know are not. Only what is cached by content is shared with this
 * machine's user, and the settings of npm, which say where its registry is.
 */
export class Clone {
  readonly #scratch = mkdtempSync(join(tmpdir(), 'clean clone-'));
  readonly folder = join(this.#scratch, 'a check out');
  readonly home = join(this.#scratch, 'an empty home');
  readonly #env: Record<string, string>;
  readonly #within: readonly string[];

  private constructor({ env = {}, within = [] }: Surroundings) {
    mkdirSync(this.home);
    const root = workspaceRoot();
    const path = (process.env.PATH ?? '').split(':').filter((folder) => !folder.startsWith(root));
    this.#env = {
      ...Object.fromEntries(
        Object.entries(process.env).flatMap(([name, value]) =>
          value === undefined || ours.test(name) ? [] : [[name, value]],
        ),
      ),
      PATH: path.join(':'),
      HOME: this.home,
      XDG_CACHE_HOME: dirname(cacheDir()),
      npm_config_userconfig: process.env.npm_config_userconfig ?? join(homedir(), '.npmrc'),
      ...env,
    };
    this.#within = within;
  }

  static async make(surroundings: Surroundings = {}): Promise<Clone> {
    const clone = new Clone(surroundings);
    const root = workspaceRoot();
    await execa('git', ['clone', '--quiet', root, clone.folder]);
    if (surroundings.installed === true) await clone.#install(root);
    const { stdout: changes } = await execa('git', ['diff', '--binary', 'HEAD'], {
      cwd: root,
      stripFinalNewline: false,
    });
    const git = (...args: string[]) => execa('git', args, { cwd: clone.folder });
    await git('checkout', '--quiet', '-B', 'main');
    if (changes !== '') {
      await execa('git', ['apply'], { cwd: clone.folder, input: changes });
      await git('add', '--all');
      await git('-c', 'user.name=test', '-c', 'user.email=test', 'commit', '--quiet', '-m', 'Changed here');
    }
    return clone;
  }

  async #install(root: string): Promise<void> {
    for await (const path of glob('{.,{libs,packages,tools}/*}/node_modules', { cwd: root })) {
      await execa('cp', ['--archive', '--reflink=auto', join(root, path), join(this.folder, path)]);
    }
    const stamp = join(this.folder, 'node_modules/.sovereign-lock');
    await copyFile(join(this.folder, 'package-lock.json'), stamp);
  }

  /** A command of the checkout, as somebody types it there. */
  run = (command: './sovereign' | './nx', ...args: string[]): Promise<Ended> =>
    this.runWith({}, command, ...args);

  /** The same with something more in the environment. */
  async runWith(
    env: Readonly<Record<string, string>>,
    command: './sovereign' | './nx',
    ...args: string[]
  ): Promise<Ended> {
    const [program = command, ...rest] = [...this.#within, command, ...args];
    const { stdout, stderr, exitCode } = await execa(program, rest, {
      cwd: this.folder,
      env: { ...this.#env, ...env },
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
    });
    return { stdout, stderr, exitCode };
  }

  /** What `./sovereign … --json` prints; throws where the command fails. */
  async json<T>(...args: string[]): Promise<T> {
    const { stdout, stderr, exitCode } = await this.run('./sovereign', ...args, '--json');
    // A service that is not healthy, as one that was stopped, is exit 3 of `status`, which has told it then.
    const told = exitCode === 0 || (exitCode === 3 && args[0] === 'status');
    if (!told) {
      throw new Error(`sovereign ${args.join(' ')}: exit ${exitCode ?? 'by a signal'}\n${stderr}\n${stdout}`);
    }
    return JSON.parse(stdout) as T;
  }

  // Nx's daemon is told to stop, and not waited for: it may write there until it has.
  remove = (): Promise<void> => rm(this.#scratch, { recursive: true, force: true, maxRetries: 10 });
}
