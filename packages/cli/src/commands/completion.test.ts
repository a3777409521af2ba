import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { fakeSession } from '../testing/session.ts';
import { three } from '../testing/services.ts';
import { completion } from './completion.ts';

const script = async (shell: string) =>
  (await completion(fakeSession({ words: [shell], services: three }).session)).text ?? '';

/** What bash offers behind these words; the last one is being typed. */
async function offered(...words: string[]): Promise<string[]> {
  const program = `${await script('bash')}
COMP_WORDS=(sovereign "$@"); COMP_CWORD=$#; _sovereign; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await execa('bash', ['-c', program, 'bash', ...words]);
  return stdout.split('\n').filter((line) => line !== '');
}

describe('bash', () => {
  it('offers commands, services and flags', async () => {
    expect(await offered('sta')).toEqual(['start', 'status']);
    expect(await offered('up', 'v')).toEqual(['vault']);
    expect(await offered('up', 'sql', '--ti')).toEqual(['--timeout']);
    expect(await offered('secrets', '')).toContain('show');
    expect(await offered('secrets', 'show', 'f')).toEqual(['forge']);
    expect(await offered('backup', '')).toEqual(expect.arrayContaining(['verify', 'sql', '--to']));
    expect(await offered('backup', 'sql', '--t')).toEqual(['--to']);
    expect(await offered('backup', 'verify', '--sn')).toEqual(['--snapshot']);
    expect(await offered('completion', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']));
  });

  it('offers nothing behind --', async () => {
    expect(await offered('exec', 'sql', '--', 'l')).toEqual([]);
  });
});

it.each(['zsh', 'fish'])('%s names every command with its summary', async (shell) => {
  const text = await script(shell);
  expect(text).toContain('refresh the locks, show what changed');
  expect(text).toContain('vault');
  // A quote in a summary does not end the string.
  expect(text).toContain(`the guest'\\''s and the launcher'\\''s log`);
});

it('an unknown shell is refused with the nearest one', () => {
  expect(() => completion(fakeSession({ words: ['fihs'] }).session)).toThrow('Did you mean fish?');
});
