import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expect, test } from 'vitest';
import { BackupReader, differences, parseCounts } from './stream.ts';
import { stream } from './testing/guest.ts';

/** Reads a stream in chunks of this many bytes; gives what was passed on. */
async function read(text: string, chunk = 7): Promise<{ reader: BackupReader; passed: string }> {
  const reader = new BackupReader('test');
  const bytes = Buffer.from(text);
  const chunks = Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, n) =>
    bytes.subarray(n * chunk, (n + 1) * chunk),
  );
  let passed = '';
  await pipeline(Readable.from(chunks), reader, async (source: AsyncIterable<Buffer>) => {
    for await (const part of source) passed += part.toString('latin1');
  });
  return { reader, passed };
}

test('a backup is passed on as it is and read on the way, however it is cut into chunks', async () => {
  for (const chunk of [1, 7, 1000, 100_000]) {
    const { reader, passed } = await read(stream(), chunk);
    expect(passed).toBe(stream());
    expect(reader.about).toMatchObject({ service: 'sql', kind: 'postgresql', major: '17' });
    expect([...reader.counts]).toEqual([['app.public.t', 3]]);
  }
});

test('a line that stands in a piece is none of the stream', async () => {
  const { reader } = await read('sovereign-backup 1\npiece a 12\ncount 1 x\nxxpiece a 0\nend\n');
  expect([...reader.counts]).toEqual([]);
});

test('a backup that is cut anywhere is found to be', async () => {
  const whole = stream({ size: 40 });
  for (let end = 0; end < whole.length; end++) {
    // Without its last line end it is the last line that is not whole.
    await expect(read(whole.slice(0, end), 64), `${end}`).rejects.toMatchObject({ code: 'cut-backup' });
  }
});

test.each([
  ['newer-backup', stream({ head: 'sovereign-backup 2' })],
  ['no-backup', 'PGDMP\n'],
  ['damaged-backup', stream().replace('piece', 'pi ce')],
  ['damaged-backup', `${stream()}more\n`],
  ['damaged-backup', `sovereign-backup 1\n${'x'.repeat(5000)}`],
])('%s', async (code, text) => {
  await expect(read(text)).rejects.toMatchObject({ code });
});

test('counts are compared by name, and what is missing on either side is named', () => {
  const wanted = parseCounts('count 3 app.public.t\nnoise\ncount 1 app.public.with blank\n');
  expect(differences(wanted, wanted)).toEqual([]);
  expect(
    differences(
      wanted,
      new Map([
        ['app.public.t', 3],
        ['new', 0],
      ]),
    ),
  ).toEqual([
    'app.public.with blank: 1 in the backup, nothing restored',
    'new: nothing in the backup, 0 restored',
  ]);
});
