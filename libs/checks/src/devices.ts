import { fail, pass, type Check } from './contract.ts';

/** A check that runs one script in the guest: its last line is the evidence, or the reason. */
const scripted = (name: string, script: string): Check => ({
  name,
  async run({ guest }) {
    const { status, stdout, stderr } = await guest.exec(['sh', '-c', script]);
    const said = `${stdout}\n${stderr}`.trim().split('\n').at(-1) ?? '';
    return status === 0 ? pass(said) : fail(said === '' ? `exit ${status}` : said);
  },
});

/** Opening is the evidence: a node without its driver is there and answers ENODEV or ENXIO. */
const opens = (name: string, path: string, open: string): Check =>
  scripted(
    name,
    `[ -c ${path} ] || { echo '${path} is no character device'; exit 1; }
     { true ${open}${path}; } 2>/dev/null || { echo '${path} cannot be opened'; exit 1; }
     echo '${path} opens'`,
  );

const mounted = (name: string, path: string, type: string): Check =>
  scripted(
    name,
    `awk '$2 == "${path}" { type = $3 } END { exit type != "${type}" }' /proc/mounts || { echo '${path} is no ${type}'; exit 1; }
     f=${path}/check.$$
     echo x >"$f" && rm "$f" || { echo '${path} cannot be written'; exit 1; }
     echo '${path} is a writable ${type}'`,
  );

export const deviceChecks: readonly Check[] = [
  opens('dev.net-tun', '/dev/net/tun', '<>'),
  opens('dev.vsock', '/dev/vsock', '<'),
  mounted('dev.shm', '/dev/shm', 'tmpfs'),
];
