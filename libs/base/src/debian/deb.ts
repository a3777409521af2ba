import { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { SovereignError } from '@sovereign/report';
import { extract } from 'tar-stream';
import xz from 'xz-decompress';

/** The two archives inside a .deb (deb(5)), uncompressed as they are read. */
export interface Deb {
  /** `preinst`, `postinst`, `md5sums`… */
  control(): Promise<Map<string, string>>;
  /** The files of the package as a tar. */
  data(): Readable;
}

/** Opens a .deb that is held in memory; `name` stands in messages. */
export function openDeb(file: Buffer, name: string): Deb {
  const members = arMembers(file, name);
  const member = (prefix: string) => {
    const found = [...members].find(([key]) => key.startsWith(prefix));
    if (found === undefined) throw damaged(name, `it has no ${prefix}`);
    return decompress(found[1], found[0], name);
  };
  return {
    control: () => textFiles(member('control.tar')),
    data: () => member('data.tar'),
  };
}

/** ar(5), common format: a magic line, then members with a header of 60 bytes, each padded to an even length. */
function arMembers(file: Buffer, name: string): Map<string, Buffer> {
  if (file.toString('latin1', 0, 8) !== '!<arch>\n') throw damaged(name, 'it is no ar archive');
  const members = new Map<string, Buffer>();
  for (let at = 8; at < file.length;) {
    const header = file.toString('latin1', at, at + 60);
    const size = Number(header.slice(48, 58).trim());
    const start = at + 60;
    if (header.slice(58) !== '`\n' || !Number.isInteger(size) || start + size > file.length) {
      throw damaged(name, `its member at byte ${at} is cut or damaged`);
    }
    members.set(header.slice(0, 16).trim().replace(/\/$/, ''), file.subarray(start, start + size));
    at = start + size + (size % 2);
  }
  return members;
}

function decompress(member: Buffer, memberName: string, name: string): Readable {
  const source = Readable.from([member]);
  const kind = memberName.split('.').at(-1);
  switch (kind) {
    case 'xz':
      return Readable.fromWeb(
        new xz.XzReadableStream(Readable.toWeb(source) as ReadableStream<Uint8Array>) as never,
      );
    case 'zst':
      return source.pipe(createZstdDecompress());
    case 'gz':
      return source.pipe(createGunzip());
    case 'tar':
      return source;
    default:
      throw damaged(name, `its member ${memberName} has an unknown compression`);
  }
}

async function textFiles(tar: Readable): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const reader = tar.pipe(extract());
  for await (const entry of reader) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    if (entry.header.type === 'file')
      files.set(entry.header.name.replace(/^\.\//, ''), Buffer.concat(chunks).toString('utf8'));
  }
  return files;
}

function damaged(name: string, why: string): SovereignError {
  return new SovereignError({
    code: 'bad-package',
    what: `this is no Debian package: ${why}`,
    on: name,
    hint: 'Make the lock again with ./sovereign lock',
  });
}
