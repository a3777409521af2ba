/**
 * The server of the remote cache against nginx, which stores and serves the same file: 8 clients (curl) at once, on
 * loopback, both on the same disk, in turns. nginx checks no digest, asks for no token and does not wait for the disk.
 * Needs `nginx` (with its WebDAV module) and `curl`.
 *
 *   npm run bench:cache -- [--runs N] [--megabytes N]
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startServer, WRITE } from '@sovereign/remote-cache/testing';
import { execa } from 'execa';
import { median } from './median.ts';

const CLIENTS = 8;
/** Requests of one client. */
const REQUESTS = 4;

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '3' }, megabytes: { type: 'string', default: '25' } },
});
const megabytes = Number(values.megabytes);
const scratch = mkdtempSync(join(tmpdir(), 'cache-bench-'));
const artifact = join(scratch, 'artifact');
writeFileSync(artifact, randomBytes(megabytes * 1e6));

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startNginx(): Promise<{ url: string; end(): Promise<unknown> }> {
  const port = await freePort();
  const home = join(scratch, 'nginx');
  mkdirSync(join(home, 'store/v1/cache'), { recursive: true });
  const conf = join(home, 'nginx.conf');
  writeFileSync(
    conf,
    `daemon off; user root; worker_processes auto; pid ${home}/pid; error_log stderr crit;
events {}
http {
  access_log off; sendfile on; client_max_body_size 1g; client_body_temp_path ${home}/temporary;
  server { listen 127.0.0.1:${port}; root ${home}/store; dav_methods PUT; }
}
`,
  );
  const child = execa('nginx', ['-c', conf, '-p', home], { reject: false, stdio: 'inherit' });
  const url = `http://127.0.0.1:${port}`;
  await execa('curl', ['-s', '--retry', '50', '--retry-connrefused', '--retry-delay', '1', url]);
  return { url, end: () => (child.kill('SIGTERM'), child) };
}

/** All clients at once; gives MB/s. */
async function measure(url: string, run: number, verb: 'put' | 'get'): Promise<number> {
  const began = performance.now();
  await Promise.all(
    Array.from({ length: CLIENTS }, (_, client) => {
      const keys = Array.from({ length: REQUESTS }, (_, n) => `${url}/v1/cache/${run}${client}${n}`);
      const each = keys.flatMap((key) => (verb === 'put' ? ['-T', artifact, key] : ['-o', '/dev/null', key]));
      return execa('curl', [
        '-sS',
        '--fail',
        '-H',
        `authorization: Bearer ${WRITE}`,
        '-H',
        'expect:',
        ...each,
      ]);
    }),
  );
  return (CLIENTS * REQUESTS * megabytes) / ((performance.now() - began) / 1000);
}

try {
  const ours = await startServer(join(scratch, 'ours'));
  const nginx = await startNginx();
  const rates: Record<string, number[]> = {
    'ours put': [],
    'nginx put': [],
    'ours get': [],
    'nginx get': [],
  };
  for (let run = 0; run < Number(values.runs); run++) {
    for (const verb of ['put', 'get'] as const) {
      for (const [name, url] of Object.entries({ ours: ours.url, nginx: nginx.url })) {
        rates[`${name} ${verb}`]?.push(await measure(url, run, verb));
      }
    }
  }
  const of = (name: string) => median(rates[name] ?? []);
  console.table(
    (['put', 'get'] as const).map((verb) => ({
      what: verb === 'put' ? 'stored' : 'served',
      'ours, MB/s': Math.round(of(`ours ${verb}`)),
      'nginx, MB/s': Math.round(of(`nginx ${verb}`)),
      ratio: Number((of(`ours ${verb}`) / of(`nginx ${verb}`)).toFixed(2)),
    })),
  );
  console.log(`most memory of ours: ${Math.round(ours.peak() / 1e6)} MB`);
  await nginx.end();
  await ours.end('SIGTERM');
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
