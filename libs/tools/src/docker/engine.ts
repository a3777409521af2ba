import { SovereignError } from '@sovereign/report';
import type Docker from 'dockerode';
import type { HostArch } from '../packages.ts';

export interface Engine {
  /** For requests that are answered at once: an engine that hangs is given up. */
  docker: Docker;
  /** For streams, which may be silent for as long as a compiler is. */
  streams: Docker;
  /** What its containers run on, which need not be this machine's own. */
  arch: HostArch;
  /** Who a program in a container has to be for its files to be the caller's: `uid:gid`. */
  user: string;
}

/** An engine that says nothing for this long counts as hanging, in milliseconds. */
const ANSWER = 60_000;

/**
 * Reaches the Docker engine that `DOCKER_HOST` names, or the one at Docker's usual socket.
 * @throws SovereignError `no-engine` where none answers, `unsupported-host` where it has no Linux of a known kind
 */
export async function openEngine(): Promise<Engine> {
  const at = process.env.DOCKER_HOST ?? "Docker's usual socket";
  try {
    // Only loaded where a container is asked for: it takes a third of a second.
    const { default: Client } = await import('dockerode');
    const docker = new Client({ timeout: ANSWER });
    const { Os, Arch } = await docker.version();
    const { SecurityOptions = [] } = (await docker.info()) as { SecurityOptions?: string[] };
    const user = containerUser(SecurityOptions);
    return { docker, streams: new Client(), arch: knownArch(Os, Arch, at), user };
  } catch (error) {
    if (error instanceof SovereignError) throw error;
    throw new SovereignError({
      code: 'no-engine',
      what: `no Docker engine answers: ${reasonOf(error)}`,
      on: at,
      hint: 'Start Docker, or name its socket in DOCKER_HOST. On Linux the default way, --tools root, needs no engine',
      cause: error,
    });
  }
}

function knownArch(os: string, arch: string, at: string): HostArch {
  if (os === 'linux' && (arch === 'amd64' || arch === 'arm64')) return arch;
  throw new SovereignError({
    code: 'unsupported-host',
    what: `the Docker engine has containers for ${os} on ${arch}, and there are build tools for Linux on amd64 and arm64`,
    on: at,
    hint: 'Name another engine in DOCKER_HOST',
  });
}

/** In a rootless engine root inside is the one who runs it; elsewhere a user inside is the same user outside. */
export function containerUser(
  security: readonly string[],
  uid = process.getuid?.() ?? 0,
  gid = process.getgid?.() ?? 0,
): string {
  return security.some((option) => option.split(',').includes('name=rootless')) ? '0:0' : `${uid}:${gid}`;
}

/** What an engine answered, or why it did not. */
function reasonOf(error: unknown): string {
  const { json, message, code } = error as Partial<NodeJS.ErrnoException> & {
    json?: { message?: string } | null;
  };
  if (code === 'EACCES') return 'permission denied (may this user use Docker?)';
  // dockerode puts its own words before the engine's where that sends no JSON.
  return (json?.message ?? message ?? String(error)).replace(/^\(HTTP code \d+\) [^-]* - /, '').trim();
}

/**
 * Says in our form why the engine did not do something.
 * @param what names it: `run mkfs.erofs`
 */
export function engineError(error: unknown, what: string): unknown {
  if (error instanceof SovereignError) return error;
  const { statusCode } = error as { statusCode?: number };
  const reason = reasonOf(error);
  if (/no space left|disk quota/i.test(reason)) {
    return new SovereignError({
      code: 'no-space',
      what: `the Docker engine has no space left to ${what}`,
      on: reason,
      hint: 'Free about 1 GB where Docker keeps its data (docker system df shows what is there)',
      cause: error,
    });
  }
  if (statusCode === undefined) {
    return new SovereignError({
      code: 'engine-lost',
      what: `the Docker engine went away while it was to ${what}`,
      on: reason,
      hint: 'Look at its log, start it again and run the command again; what was made until then is kept',
      cause: error,
    });
  }
  return new SovereignError({
    code: 'engine-refused',
    what: `the Docker engine did not ${what}`,
    on: reason,
    hint: reason.includes('bind source path')
      ? 'The engine has to see the folders of this machine: a remote one does not, and Docker Desktop only those that it shares'
      : 'Run the command again without --tools docker, or with another engine in DOCKER_HOST',
    cause: error,
  });
}
