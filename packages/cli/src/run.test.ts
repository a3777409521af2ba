import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from './run.ts';
import { fakeStreams } from './testing/streams.ts';

async function call(...argv: string[]) {
  const { streams, out, err } = fakeStreams();
  const exit = await run(argv, '1.2.3', streams);
  return { exit, out: out(), err: err() };
}

describe('an error', () => {
  it('is three lines for people, and nothing on standard output', async () => {
    const { exit, out, err } = await call('statu');
    expect(exit).toBe(2);
    expect(out).toBe('');
    expect(err).toBe("error: unknown command 'statu'\n   on: statu\n next: Did you mean status?\n");
  });

  it.each([[['statu', '--json']], [['up', 'sql', '--json', '--bogus']], [['up', 'slq', '--json']]])(
    'is exactly one JSON document where asked: %j',
    async (argv) => {
      const { exit, out } = await call(...argv);
      expect(exit).toBe(2);
      const document = JSON.parse(out) as { error: Record<string, string> };
      expect(Object.keys(document)).toEqual(['error']);
      expect(document.error).toMatchObject({
        code: expect.any(String) as string,
        what: expect.any(String) as string,
      });
      expect(document.error.hint).toBeTruthy();
    },
  );

  it('does not take a --json that belongs to a command in the guest', async () => {
    const { out } = await call('exce', 'sql', '--', 'lsblk', '--json');
    expect(out).toBe('');
  });

  it('shows where it came from with --verbose', async () => {
    const { err } = await call('statu', '--verbose');
    expect(err).toContain('    at ');
  });
});

describe('results', () => {
  it('go to standard output as text', async () => {
    const { exit, out } = await call('completion', 'bash');
    expect(exit).toBe(0);
    expect(out).toContain('complete -F _sovereign sovereign');
  });

  it('or as one JSON document', async () => {
    const { exit, out } = await call('completion', 'fish', '--json');
    expect(exit).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ shell: 'fish' });
  });

  it('help is a result', async () => {
    const { exit, out, err } = await call('up', '--help');
    expect({ exit, err }).toEqual({ exit: 0, err: '' });
    expect(out).toContain('Usage: sovereign up');
  });
});

it('a reader that has had enough is no failure', { timeout: 60_000 }, async () => {
  const main = join(import.meta.dirname, 'main.ts');
  const child = spawn(process.execPath, [main, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [status] = (await once(child, 'close')) as [number];
  expect({ status, said }).toEqual({ status: 0, said: '' });
});
