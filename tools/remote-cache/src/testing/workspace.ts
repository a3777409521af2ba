import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { workspaceRoot } from '@sovereign/store';

export interface NxResult {
  /** Null after a signal. */
  status: number | null;
  output: string;
  ms: number;
  /** Projects whose task really ran, in order. */
  ran: string[];
}

/** The longest that one run of Nx may take, in milliseconds: anything hung is far over it, a slow machine is not. */
const DEADLINE = 120_000;

const usual = ['run-many', '--targets=build', '--outputStyle=stream'];

/** A small workspace with the real Nx and the real plugin of this one; a `build` a project, which copies one file. */
export class TinyWorkspace {
  readonly root = mkdtempSync(join(tmpdir(), 'sovereign-cache-'));
  readonly projects: readonly string[];

  constructor(projects: readonly string[], plugin = '@sovereign/executors/plugin') {
    this.projects = projects;
    symlinkSync(join(workspaceRoot(), 'node_modules'), join(this.root, 'node_modules'));
    this.write('package.json', { name: 'tiny', private: true });
    this.write('nx.json', {
      analytics: false,
      neverConnectToCloud: true,
      cacheDirectory: '.nx/cache',
      plugins: [plugin],
    });
    for (const name of projects) {
      mkdirSync(join(this.root, name));
      writeFileSync(join(this.root, name, 'in'), `what ${name} is made of\n`);
      this.write(`${name}/project.json`, {
        name,
        targets: {
          build: {
            command: `mkdir -p ${name}/dist && cp ${name}/in ${name}/dist/out && echo ${name} >>ran`,
            cache: true,
            inputs: ['{projectRoot}/in'],
            outputs: ['{projectRoot}/dist'],
          },
        },
      });
    }
  }

  write(path: string, content: object): void {
    writeFileSync(join(this.root, path), JSON.stringify(content));
  }

  /** What a build of this project made; undefined where there is nothing. */
  output(project: string): string | undefined {
    const path = join(this.root, project, 'dist/out');
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  }

  /** As a fresh clone: without results, without a local cache. */
  clean(): void {
    for (const path of ['.nx', 'ran', ...this.projects.map((name) => join(name, 'dist'))]) {
      rmSync(join(this.root, path), { recursive: true, force: true });
    }
  }

  start(env: Readonly<Record<string, string>>, args: readonly string[] = usual): ReturnType<typeof spawn> {
    const nx = join(workspaceRoot(), 'node_modules/nx/dist/bin/nx.js');
    // A test is often a task itself: what Nx told that one is nothing to this one. Colours come with CI, too.
    const own = Object.entries(process.env).filter(([name]) => !/^(NX_|SOVEREIGN_|FORCE_COLOR$)/.test(name));
    return spawn(process.execPath, [nx, ...args], {
      cwd: this.root,
      env: { ...Object.fromEntries(own), NX_DAEMON: 'false', NX_TUI: 'false', NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Builds everything, or does what else Nx is asked for. */
  async build(env: Readonly<Record<string, string>>, args?: readonly string[]): Promise<NxResult> {
    rmSync(join(this.root, 'ran'), { force: true });
    const started = performance.now();
    const child = this.start(env, args);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    }
    const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE);
    const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
    clearTimeout(timer);
    const log = join(this.root, 'ran');
    return {
      status,
      output,
      ms: Math.round(performance.now() - started),
      ran: existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').sort() : [],
    };
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
