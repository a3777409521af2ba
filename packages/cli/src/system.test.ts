import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { provideTools, type ProvideOptions, type Tool } from './system.ts';

const { signal } = new AbortController();

beforeEach(() => vi.spyOn(process.stderr, 'write').mockReturnValue(true));
afterEach(() => vi.restoreAllMocks());

/** A stand-in for a machine: `installed` is what it has, installing adds to it. */
function machine(installed: string[], { sudo = true, apt = true, needsUpdate = false } = {}) {
  const ran: string[] = [];
  let updated = !needsUpdate;
  const options = (rest: Partial<ProvideOptions> = {}): ProvideOptions => ({
    install: true,
    signal,
    root: false,
    find: (name) =>
      Promise.resolve(
        ({ sudo, 'apt-get': apt } as Record<string, boolean>)[name] === true ? name : undefined,
      ),
    run: (argv) => {
      ran.push(argv.join(' '));
      if (argv.includes('update')) updated = true;
      else if (updated) installed.push(...argv.slice(argv.indexOf('install') + 3));
      return Promise.resolve(updated);
    },
    ...rest,
  });
  const tool = (name: string): Tool => ({
    name,
    apt: `${name}-package`,
    find: () =>
      Promise.resolve(installed.includes(name) || installed.includes(`${name}-package`) ? name : undefined),
  });
  return { ran, options, tool };
}

describe('a tool that is missing', () => {
  it('is left alone where it is there', async () => {
    const { ran, options, tool } = machine(['qemu']);
    await provideTools([tool('qemu')], options());
    expect(ran).toEqual([]);
  });

  it('is installed with sudo, in one command', async () => {
    const { ran, options, tool } = machine(['ssh']);
    await provideTools([tool('qemu'), tool('ssh'), tool('mksh')], options());
    expect(ran).toEqual(['sudo apt-get install -y --no-install-recommends qemu-package mksh-package']);
  });

  it('is installed without sudo by root', async () => {
    const { ran, options, tool } = machine([]);
    await provideTools([tool('qemu')], options({ root: true }));
    expect(ran).toEqual(['apt-get install -y --no-install-recommends qemu-package']);
  });

  it('comes after an update where the package lists are missing', async () => {
    const { ran, options, tool } = machine([], { needsUpdate: true });
    await provideTools([tool('qemu')], options({ root: true }));
    expect(ran.map((line) => line.split(' ')[1])).toEqual(['install', 'update', 'install']);
  });

  it('--no-install refuses and prints the exact command', async () => {
    const { ran, options, tool } = machine([]);
    await expect(provideTools([tool('qemu')], options({ install: false }))).rejects.toMatchObject({
      code: 'needs-tools',
      on: 'qemu',
      hint: 'Run: sudo apt-get install -y --no-install-recommends qemu-package',
    });
    expect(ran).toEqual([]);
  });

  it('without sudo, the command for root is printed', async () => {
    const { options, tool } = machine([], { sudo: false });
    await expect(provideTools([tool('qemu')], options())).rejects.toMatchObject({
      hint: 'As root, run: apt-get install -y --no-install-recommends qemu-package',
    });
  });

  it('another distribution gets the list', async () => {
    const { options, tool } = machine([], { apt: false });
    await expect(provideTools([tool('qemu'), tool('ssh')], options())).rejects.toMatchObject({
      on: 'qemu, ssh',
      hint: expect.stringContaining('qemu-package, ssh-package') as string,
    });
  });

  it('that is too old even after installing is said so', async () => {
    const { options } = machine([]);
    const old: Tool = { name: 'qemu', apt: 'qemu-package', find: () => Promise.resolve(undefined) };
    await expect(provideTools([old], options())).rejects.toMatchObject({
      hint: expect.stringContaining('only older ones') as string,
    });
  });
});
