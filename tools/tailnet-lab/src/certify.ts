import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

/**
 * Makes a CA of ten days in a folder, `ca.pem`, and a certificate of it for a name, `server.pem` with `server.key`.
 * @param days until its end; below zero for one that is over
 */
export async function certify(folder: string, name: string, days = 9): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const openssl = (args: string[]) => execa('openssl', args, { cwd: folder });
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl([
    ...['req', '-x509', ...fresh, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '10'],
    ...['-subj', '/CN=CA of a test lab', '-addext', 'keyUsage=critical,keyCertSign'],
  ]);
  await openssl(['req', ...fresh, '-keyout', 'server.key', '-out', 'server.csr', '-subj', `/CN=${name}`]);
  await writeFile(join(folder, 'server.ext'), `subjectAltName=DNS:${name}\n`);
  await openssl([
    ...['x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
    ...['-out', 'server.pem', '-days', String(days), '-extfile', 'server.ext'],
  ]);
}
