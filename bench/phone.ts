/**
 * The PostgreSQL service on test phones, in one run: what a deploy of what is there costs, how long a killed machine is
 * gone, and how fast bytes get from this machine into a guest in each of the three network modes. Everything is built
 * first; phones and settings are of this run alone.
 *
 *   npm run bench:phone -- [--runs N] [--mebibytes N]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { execInGuest, localDevice, readBundle, selectDevice, type Device } from '@sovereign/device';
import { loadService } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';
import { median } from './median.ts';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '5' }, mebibytes: { type: 'string', default: '64' } },
});
const runs = Number(values.runs);
const mebibytes = Number(values.mebibytes);
const root = workspaceRoot();
const scratch = await mkdtemp(join(tmpdir(), 'phone-bench-'));
process.env.XDG_CONFIG_HOME = join(scratch, 'config');

const found = await loadService(join(root, 'packages/rootfs-sql'));
const bundle = await readBundle(root, found);
const { definition } = found;
/** Seconds that some work took. */
async function seconds(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

const phone = (...args: string[]) => execa(join(root, 'tools/virtual-phone/phone'), args);
const healthy = (device: Device): Promise<void> => device.waitHealthy(definition, 240);

async function up(device: Device, network?: 'vsock' | 'tap'): Promise<void> {
  await device.deploy(bundle, { consent: true, ...(network === undefined ? {} : { network }) });
  await device.start(definition);
  await healthy(device);
}

/** Takes one connection to its end. Its input is a FIFO that never ends, or it would close its side at once. */
const SINK = 'rm -f /run/sink; mkfifo /run/sink; exec nc -l -p 5432 <>/run/sink >/dev/null';

/** MiB a second of raw TCP through the published port, into a guest that throws them away. */
async function throughput(device: Device): Promise<number> {
  const guest = await device.ssh(definition);
  await execInGuest(guest, ['rc-service', 'postgresql', 'stop']);
  const [status] = await device.status([definition]);
  const { port } = new URL(status?.endpoints[0]?.url ?? '');
  const rates: number[] = [];
  for (let run = 0; run < runs; run++) {
    const sink = execInGuest(guest, ['sh', '-c', SINK]);
    // No way to ask whether it listens that it would not take for its one connection.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const chunks = Readable.from(Array<Buffer>(mebibytes).fill(Buffer.alloc(2 ** 20)));
    const took = await seconds(async () => {
      await pipeline(chunks, connect(Number(port), '127.0.0.1'));
      await sink;
    });
    rates.push(mebibytes / took);
  }
  return median(rates);
}

/** Seconds from the end of a machine to its next healthy report. */
async function comeback(device: Device, name: string): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < runs; run++) {
    const pid = (await device.status([definition]))[0]?.pid;
    await phone('shell', name, 'kill', '-9', String(pid));
    times.push(
      await seconds(async () => {
        while ((await device.status([definition]))[0]?.pid === pid) {
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        await healthy(device);
      }),
    );
  }
  return median(times);
}

const rates: Record<string, number> = {};
const local = localDevice(join(scratch, 'local'));
try {
  await up(local);
  rates['user (this machine)'] = await throughput(local);
  await local.stop(definition, 60);

  for (const mode of ['vsock', 'tap'] as const) {
    const name = `bench-${mode}`;
    const serial = (await phone('start', name)).stdout.trim().split('\n').at(-1);
    try {
      const device = await selectDevice({ serial });
      await up(device, mode);
      if (mode === 'vsock') {
        const deploys: number[] = [];
        for (let run = 0; run < runs; run++) {
          deploys.push(await seconds(() => device.deploy(bundle)));
        }
        console.table({
          'deploy, nothing to do (s)': median(deploys),
          'status (s)': await seconds(() => device.status([definition])),
          'machine killed to healthy (s)': await comeback(device, name),
        });
      }
      rates[mode] = await throughput(device);
    } finally {
      await phone('stop', name);
    }
  }
  console.table(Object.fromEntries(Object.entries(rates).map(([mode, rate]) => [mode, { 'MiB/s': rate }])));
} finally {
  await local.stop(definition, 60);
  await rm(scratch, { recursive: true, force: true });
}
