/**
 * A stand-in for a virtual machine, for the launcher's tests alone: a process that speaks the guest's side of the
 * control channel on its standard input and output. The first argument says how it behaves, and with `+file` behind
 * it that it opens the channel's two files by itself, as crosvm does:
 *
 * - `healthy`   healthy at once, obeys `stop`
 * - `late`      healthy, and says nothing before there is a file `speak`
 * - `deaf`      healthy, ignores `stop` and SIGTERM
 * - `ill`       never healthy
 * - `dies`      ends with status 7 before it is healthy
 * - `refuses`   ends with status 35, as crosvm does when it does not know an argument
 * - `early-N`   ends with status N before the guest speaks
 * - `changes`   changes the data disk, and is healthy
 * - `spoils`    changes the data disk, and is never healthy
 * - `ends-N`    healthy, and ends with status N a moment later
 *
 * One that is healthy tells the time in the file `guest-clock`, where there is one, as its clock's.
 */
import { randomUUID } from 'node:crypto';
import { appendFileSync, constants, existsSync, openSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const [word = 'healthy', journal = '/dev/null'] = process.argv.slice(2);
const [behaviour = '', channel] = word.split('+');
const write = (text: string): void => {
  if (channel === 'file') appendFileSync('agent.out', text);
  else process.stdout.write(text);
};
const boot = randomUUID();
let sequence = 0;

const say = (key: string, value = ''): void => {
  write(`${boot} ${++sequence} ${key} ${value}${sequence % 2 === 0 ? '\r' : ''}\n`);
};
const remember = (text: string): void => appendFileSync(journal, `${text}\n`);

remember(`power-on ${process.pid} ${behaviour}`);
if (behaviour === 'refuses') {
  process.stderr.write('arg parsing failed: Unrecognized argument: --new\n');
  process.exit(35);
}
if (behaviour === 'changes' || behaviour === 'spoils') appendFileSync('data.img', `${behaviour}\n`);
const [how, status] = behaviour.split('-');
if (how === 'early') process.exit(Number(status));
if (how === 'ends') setTimeout(() => process.exit(Number(status)), 1000);
while (how === 'late' && !existsSync('speak')) await sleep(50);
say('hello', '1');
say('stage', 'booting');
say('data', '100663296 19922944');
say('tailnet', 'running 100.64.0.7 demo-phone.tail.example never n1');
say('https', 'on demo-phone.tail.example 2099-05-22T10:00:00Z own');
write(`00000000-another-boot 1 health ok\n`);
write(`no line of the protocol \u001b[31m\n`);
write(`${boot} 99 health ok${'x'.repeat(600)}\n`);
if (behaviour === 'dies') {
  setTimeout(() => {
    process.stderr.write('cannot go on\n');
    process.exit(7);
  }, 200);
}
if (behaviour === 'deaf') process.on('SIGTERM', () => remember('ignored SIGTERM'));

const beat = (): void => {
  if (behaviour === 'ill' || behaviour === 'spoils') say('health', 'bad no answer');
  else if (behaviour === 'dies') say('health', 'starting');
  else {
    say('stage', 'ready');
    if (existsSync('guest-clock')) say('beat', readFileSync('guest-clock', 'utf8').trim());
    // A line that comes in two pieces is still one line.
    write(`${boot} ${++sequence} hea`);
    setTimeout(() => write('lth ok\n'), 50);
  }
};
beat();
setInterval(beat, 300);

/** Not through a stream of files: Node does not end while one of those waits for a pipe. */
const pipe = (path: string): Socket =>
  new Socket({
    fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK),
    readable: true,
    writable: false,
  });
const input = channel === 'file' ? pipe('agent.in') : process.stdin;
createInterface({ input }).on('line', (verb) => {
  remember(verb.replace(/^time \d+$/, 'time EPOCH'));
  const [, id, question] = /^ask (\S+) (.*)$/.exec(verb) ?? [];
  if (id !== undefined && question !== undefined) {
    say('answer', `0-0 line of an older question`);
    say('answer', `${id} ${question}`);
    say('answer', `${id} line 2 of it`);
    say('answer', `${id} end ${question === 'mend nothing' ? 2 : 0}`);
  }
  if (verb === 'stop' && behaviour !== 'deaf') {
    say('bye');
    setTimeout(() => process.exit(0), 100);
  }
});
