import { Transform, type Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { step } from '@sovereign/report';
import { cacheDir, withLock } from '@sovereign/store';
import type Docker from 'dockerode';
import { engineError, type Engine } from './engine.ts';

const REPOSITORY = 'sovereign-tools';

/** The image's own word for the digest that its name shortens. */
const DIGEST_LABEL = 'sovereign.tools.digest';

/** Images that are kept, each about 600 MB: this one, and the one of the branch that one may go back to. */
const KEEP = 2;

export const imageName = (digest: string): string => `${REPOSITORY}:${digest.slice(0, 12)}`;

/**
 * Gives the id of the image of the tools, importing it where the engine has none. No registry is asked.
 * @param digest of the tool lock, see {@link ToolRoot.digest}
 * @param openTree only called where it has to be imported
 */
export async function provideImage(
  { docker, streams }: Pick<Engine, 'docker' | 'streams'>,
  digest: string,
  openTree: () => Promise<Readable>,
): Promise<string> {
  const known = await findImage(docker, digest);
  if (known !== undefined) return known;
  return withLock(cacheDir('toolimage', `${digest}.lock`), async () => {
    const meanwhile = await findImage(docker, digest);
    if (meanwhile !== undefined) return meanwhile;
    await importImage(streams, digest, await openTree());
    const id = await findImage(docker, digest);
    if (id === undefined) throw notImported('it said so, and has no such image');
    await removeOld(docker, id);
    return id;
  });
}

async function findImage(docker: Docker, digest: string): Promise<string | undefined> {
  try {
    const { Id, Config } = await docker.getImage(imageName(digest)).inspect();
    return (Config.Labels as Record<string, string> | null)?.[DIGEST_LABEL] === digest ? Id : undefined;
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined;
    throw engineError(error, 'look for the build tools');
  }
}

async function importImage(streams: Docker, digest: string, tree: Readable): Promise<void> {
  const [repo, tag] = imageName(digest).split(':');
  await step('import the build tools into the Docker engine', async (handle) => {
    let done = 0;
    const counted = new Transform({
      transform(chunk: Buffer, _encoding, next) {
        handle.progress((done += chunk.length), undefined, 'bytes');
        next(null, chunk);
      },
    });
    const send = async () => {
      const options = { repo, tag, changes: [`LABEL ${DIGEST_LABEL}=${digest}`] };
      const failed = answerError(await text(await streams.importImage(counted, options)));
      if (failed !== undefined) throw notImported(failed);
    };
    try {
      await Promise.all([pipeline(tree, counted), send()]);
    } catch (error) {
      throw engineError(error, 'import the build tools');
    } finally {
      tree.destroy();
    }
  });
}

/** An import that failed after it began is told in the last line of an answer that began well. */
function answerError(answer: string): string | undefined {
  for (const line of answer.split('\n')) {
    if (line.trim() === '') continue;
    const { error } = JSON.parse(line) as { error?: string };
    if (error !== undefined) return error;
  }
  return undefined;
}

/** As the engine's own refusals look, so that a full disk is named as one. */
const notImported = (message: string): Error =>
  Object.assign(new Error(message), { statusCode: 500, json: { message } });

/** Older images that no container uses; the engine refuses to remove one that is in use. */
async function removeOld(docker: Docker, id: string): Promise<void> {
  const images = await docker.listImages({ filters: { reference: [REPOSITORY] } });
  const old = images
    .filter((image) => image.Id !== id)
    .sort((a, b) => b.Created - a.Created)
    .slice(KEEP - 1);
  for (const { Id } of old) {
    await docker
      .getImage(Id)
      .remove()
      .catch(() => undefined);
  }
}
