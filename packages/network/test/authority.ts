import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** An authority of a test, and the certificates that it gives, as files of a folder: `ca.pem`, and NAME.crt with NAME.key. */
export class Authority {
  readonly #folder = mkdtempSync(join(tmpdir(), 'sovereign-authority-'));

  file = (name: string): string => join(this.#folder, name);
  read = (name: string): string => readFileSync(this.file(name), 'utf8');

  constructor() {
    this.#openssl(
      ...['req', '-x509', ...fresh, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '3'],
      ...['-subj', '/CN=authority', '-addext', 'keyUsage=critical,keyCertSign'],
    );
  }

  #openssl(...args: string[]): void {
    const { status, stderr } = spawnSync('openssl', args, { cwd: this.#folder, encoding: 'utf8' });
    if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
  }

  /** @param names as `subjectAltName` has them; @param days below zero for one that is over */
  certify(name: string, names: string, days: number): void {
    this.#openssl('req', ...fresh, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', '/CN=test');
    writeFileSync(this.file(`${name}.ext`), `subjectAltName=${names}\n`);
    this.#openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-out', `${name}.crt`, '-days', String(days), '-extfile', `${name}.ext`],
    );
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
