/**
 * A stand-in for QEMU, for tests alone: it reads the same arguments, and instead of running a guest it speaks the
 * guest's side of the control channel. The content of the root image says how that guest behaves: `healthy`, `ill`
 * (never healthy), `dies`, or `changes` and `spoils` (write to the data disk; one is healthy, the other never).
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

const args = process.argv.slice(2).join('\n');
const root =
  /file=(.+?),format=raw,readonly=on.*\n-device\n.*serial=sov-root/.exec(args)?.[1]?.replaceAll(',,', ',') ??
  '';
const behaviour = readFileSync(root, 'utf8').trim().split(' ')[0];
if (behaviour === 'changes' || behaviour === 'spoils') appendFileSync('data.img', `${behaviour}\n`);
const healthy = behaviour === 'healthy' || behaviour === 'changes';
const boot = randomUUID();
let sequence = 0;
const say = (key: string, value: string): void => {
  process.stdout.write(`${boot} ${++sequence} ${key} ${value}\n`);
};

for (const [, port] of args.matchAll(/hostfwd=tcp:127\.0\.0\.1:(\d+)-/g)) {
  const server = createServer().listen(Number(port), '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    process.stderr.write(`stand-in: Could not set up host forwarding rule 'tcp:127.0.0.1:${port}'\n`);
    process.exit(1);
  }
}
say('hello', '1');
say('stage', 'service');
const beat = (): void => say('health', healthy ? 'ok' : 'bad no answer');
beat();
setInterval(beat, 500);
if (behaviour === 'dies') setTimeout(() => process.exit(1), 100);
createInterface({ input: process.stdin }).on('line', (verb) => {
  if (verb === 'stop') process.exit(0);
});
