import { posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import tar from 'tar-stream';
import { collectAfter, type Spool } from '../spool.ts';

/** The artifact would end Nx's run, or reach out of the workspace. */
export class BadArtifact extends Error {}

/** What Nx adds to the outputs of a task. */
const own = ['terminalOutput', 'code'];

/**
 * Holds an artifact to what Nx writes: a gzip'd tar of files, folders and links below the workspace, then the task's
 * output and exit status. Nx's client ends the run on one that is not, and does not look at gzip's checksum.
 * @param limit Most bytes of the unpacked tar.
 */
export async function checkArtifact(packed: Spool, limit: number): Promise<void> {
  const seen = new Set<string>();
  // Nx writes the old form of header, which has no magic number.
  const extract = tar.extract({ allowUnknownFormat: true } as object);
  let fault: string | undefined;
  extract.on('entry', ({ name, type, linkname }, stream, next) => {
    fault ??= faultOf(name, type, linkname);
    seen.add(name);
    stream.on('end', next);
    stream.resume();
  });
  let size = 0;
  const counted = async function* (source: AsyncIterable<Buffer>) {
    for await (const chunk of source) {
      size += chunk.length;
      if (size > limit) throw new BadArtifact(`it unpacks to more than ${limit} bytes`);
      collectAfter(chunk.length);
      yield chunk;
    }
  };
  try {
    const gunzip = createGunzip();
    await Promise.all([packed.sendTo(gunzip), pipeline(gunzip, counted, extract)]);
  } catch (error) {
    if (error instanceof BadArtifact) throw error;
    throw new BadArtifact(`it cannot be unpacked: ${(error as Error).message}`);
  }
  if (fault !== undefined) throw new BadArtifact(fault);
  for (const name of own) if (!seen.has(name)) throw new BadArtifact(`it has no ${name}`);
}

function faultOf(name: string, type: string, link: string | null): string | undefined {
  if (!isBelow(name)) return `it holds ${JSON.stringify(name)}, outside of the workspace`;
  if (type === 'file' || type === 'directory') return undefined;
  if (type !== 'symlink') return `it holds a ${type}`;
  const target = posix.join(posix.dirname(name), link ?? '..');
  return link?.startsWith('/') === true || !isBelow(target)
    ? `it holds a link out of the workspace`
    : undefined;
}

const isBelow = (path: string): boolean =>
  path !== '' &&
  !path.startsWith('/') &&
  !path.includes('\\') &&
  !path.includes('\0') &&
  !posix.normalize(path).startsWith('..');
