import { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import { SovereignError } from '@sovereign/report';

/**
 * Prints all that a deploy reads of a device, for one round trip: a head of lines, an empty line, and a tar archive of
 * the small files. Names of folders and files in the device's folder are ours and hold no blanks.
 */
export const snapshotScript = `
root=$1 hook=$2
cd "$root" 2>/dev/null || exit 3
for folder in store agent services services/* services/*/a services/*/b; do
  [ -d "$folder" ] || continue
  echo "folder $folder"
  for file in "$folder"/*; do
    [ -e "$file" ] && echo "file $file"
  done
done
for file in services/*/config.img "$hook"; do
  [ -f "$file" ] || continue
  # shellcheck disable=SC2046
  set -- $(sha256sum "$file")
  echo "digest $1 $file"
done
echo "space $(stat -f -c '%a %S' .)"
grep -h ' 0A ' /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ address _; do echo "listens $address"; done
echo
set --
for file in device.json device.conf ports.json platform platform.sh agent/current net/gvproxy.yaml net/good \\
  services/*/current services/*/trial services/*/data.id services/*/a/* services/*/b/*; do
  [ -f "$file" ] && set -- "$@" "$file"
done
[ $# = 0 ] || tar -cf - "$@" || {
  # A trial ends when the launcher says so, and its file goes.
  for file; do [ -f "$file" ] || exit 0; done
  exit 1
}
`;

/** What a device held when it was looked at. */
export interface Snapshot {
  /** Content of the small files. */
  files: ReadonlyMap<string, Buffer>;
  /** Names in each folder. */
  folders: ReadonlyMap<string, readonly string[]>;
  /** SHA-256 of other files, by path. */
  digests: ReadonlyMap<string, string>;
  /** Bytes. */
  space: number;
  /** Ports that somebody listens on. */
  listening: ReadonlySet<number>;
}

/** Files that are in a snapshot whenever they are on the device. */
const covered =
  /^(device\.json|device\.conf|ports\.json|platform(?:\.sh)?|agent\/current|net\/(?:gvproxy\.yaml|good)|services\/[^/]+\/(current|trial|data\.id|[ab]\/[^/]+))$/;
export const coversFile = (path: string): boolean => covered.test(path);

/** Folders that are in a snapshot whenever they are on the device. */
export const coversFolder = (path: string): boolean =>
  /^(store|agent|services|services\/[^/]+|services\/[^/]+\/[ab])$/.test(path);

export const emptySnapshot: Snapshot = {
  files: new Map(),
  folders: new Map(),
  digests: new Map(),
  space: 0,
  listening: new Set(),
};

/** Reads what {@link snapshotScript} printed. */
export async function parseSnapshot(output: Buffer): Promise<Snapshot> {
  const end = output.indexOf('\n\n');
  if (end < 0) {
    throw new SovereignError({ code: 'bad-snapshot', what: 'the phone did not tell all that it holds' });
  }
  const folders = new Map<string, string[]>();
  const digests = new Map<string, string>();
  const listening = new Set<number>();
  let space = 0;
  for (const line of output.subarray(0, end).toString().split('\n')) {
    const [key, ...words] = line.split(' ');
    const path = words.join(' ');
    if (key === 'folder') folders.set(path, []);
    else if (key === 'file')
      folders.get(path.slice(0, path.lastIndexOf('/')))?.push(path.slice(path.lastIndexOf('/') + 1));
    else if (key === 'digest') digests.set(words.slice(1).join(' '), words[0] ?? '');
    else if (key === 'space') space = Number(words[0]) * Number(words[1]);
    else if (key === 'listens') listening.add(parseInt(path.slice(path.indexOf(':') + 1), 16));
  }
  return { files: await untar(output.subarray(end + 2)), folders, digests, space, listening };
}

async function untar(archive: Buffer): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  if (archive.length === 0) return files;
  const tar = Readable.from([archive]).pipe(extract());
  for await (const entry of tar) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    files.set(entry.header.name, Buffer.concat(chunks));
  }
  return files;
}
