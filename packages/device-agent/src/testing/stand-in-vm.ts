/**
 * A stand-in for a virtual machine, for the launcher's tests alone: a process that speaks the guest's side of the
 * control channel on its standard input and output. The first argument says how it behaves:
 *
 * - `healthy`   healthy at once, obeys `stop`
 * - `deaf`      healthy, ignores `stop` and SIGTERM
 * - `ill`       never healthy
 * - `dies`      ends with status 7 before it is healthy
 * - `refuses`   ends with status 35, as crosvm does when it does not know an argument
 */
import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [behaviour = 'healthy', journal = '/dev/null'] = process.argv.slice(2);
const boot = randomUUID();
let sequence = 0;

const say = (key: string, value = ''): void => {
  process.stdout.write(`${boot} ${++sequence} ${key} ${value}${sequence % 2 === 0 ? '\r' : ''}\n`);
};
const remember = (text: string): void => appendFileSync(journal, `${text}\n`);

remember(`power-on ${process.pid} ${behaviour}`);
if (behaviour === 'refuses') process.exit(35);
say('hello', '1');
say('stage', 'booting');
process.stdout.write(`00000000-another-boot 1 health ok\n`);
process.stdout.write(`no line of the protocol \u001b[31m\n`);
process.stdout.write(`${boot} 99 health ok${'x'.repeat(600)}\n`);
if (behaviour === 'dies') {
  setTimeout(() => {
    process.stderr.write('cannot go on\n');
    process.exit(7);
  }, 200);
}
if (behaviour === 'deaf') process.on('SIGTERM', () => remember('ignored SIGTERM'));

const beat = (): void => {
  if (behaviour === 'ill') say('health', 'bad no answer');
  else if (behaviour === 'dies') say('health', 'starting');
  else {
    say('stage', 'ready');
    // A line that comes in two pieces is still one line.
    process.stdout.write(`${boot} ${++sequence} hea`);
    setTimeout(() => process.stdout.write('lth ok\n'), 50);
  }
};
beat();
setInterval(beat, 300);

createInterface({ input: process.stdin }).on('line', (verb) => {
  remember(verb.replace(/^time \d+$/, 'time EPOCH'));
  if (verb === 'stop' && behaviour !== 'deaf') {
    say('bye');
    setTimeout(() => process.exit(0), 100);
  }
});
