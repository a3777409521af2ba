import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { execa } from 'execa';

const NAME = 'qemu-system-aarch64';
/** Older ones were never tried, and lack `-action panic=exit-failure`. */
const OLDEST = [7, 2] as const;

export interface Qemu {
  /** Absolute path. */
  binary: string;
  /** For example `7.2.22`. */
  version: string;
}

/**
 * The machine's QEMU for arm64.
 * @param path where to look, in the form of the variable PATH
 * @throws SovereignError `no-qemu` or `old-qemu`
 */
export async function findQemu(path: string = process.env.PATH ?? ''): Promise<Qemu> {
  const binary = await findProgram(NAME, path);
  if (binary === undefined) {
    throw new SovereignError({
      code: 'no-qemu',
      what: `${NAME} is not installed`,
      on: 'this machine',
      hint: 'Install QEMU for arm64 (Debian and Ubuntu: apt-get install qemu-system-arm)',
    });
  }
  const { stdout, failed, shortMessage } = await execa(binary, ['--version'], {
    reject: false,
    timeout: 20_000,
  });
  const version = /version (\d+\.\d+(?:\.\d+)?)/.exec(stdout)?.[1];
  if (version === undefined) {
    throw new SovereignError({
      code: 'no-qemu',
      what: failed ? `QEMU does not run: ${shortMessage}` : 'QEMU does not say its version',
      on: binary,
      hint: 'Install QEMU again',
    });
  }
  if (isOlder(version)) {
    throw new SovereignError({
      code: 'old-qemu',
      what: `QEMU ${version} is too old, ${OLDEST.join('.')} is needed`,
      on: binary,
      hint: 'Upgrade QEMU, or this distribution',
    });
  }
  return { binary, version };
}

function isOlder(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
}

/** Absolute path of a program, undefined where the search path has none. */
export async function findProgram(
  name: string,
  path: string = process.env.PATH ?? '',
): Promise<string | undefined> {
  for (const folder of path.split(delimiter).filter(isAbsolute)) {
    const candidate = join(folder, name);
    const usable = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return candidate;
  }
  return undefined;
}
