import { guestLeavesOut, guestPackages } from '@sovereign/guest';
import { defineService } from '@sovereign/service';

export default defineService({
  name: 'forgejo',
  title: 'Forgejo',
  net: { index: 4 },
  bases: {
    // Debian has no package of it.
    alpine: {
      // An SSH client for the health, which asks Forgejo as a user's git does.
      packages: [...guestPackages.alpine, 'dropbear-dbclient', 'git', 'git-lfs', 'sqlite', 'forgejo'],
      leaveOut: { ...guestLeavesOut.alpine },
    },
  },
  accounts: [{ name: 'forgejo', uid: 72, gid: 72, home: '/data/forgejo', shell: '/sbin/nologin' }],
  resources: { memory: 256, cpus: 1 },
  data: { kind: 'forgejo', major: 15, changes: 'version', programs: true, collation: 'none', size: 4096 },
  ports: [
    {
      name: 'web',
      guest: 3000,
      host: 13_000,
      tailnet: 443,
      tls: { certificate: 'certificate', address: 'url' },
      scheme: 'http',
    },
    // The owner's own SSH has 22 of the guest.
    { name: 'git', guest: 2222, host: 12_222, tailnet: 22, scheme: 'ssh', user: 'git' },
  ],
  secrets: [
    { name: 'admin-password', make: 'password', description: 'Password of the first administrator' },
    { name: 'database-password', make: 'password', description: 'Password of its role on the SQL service' },
    {
      name: 'certificate',
      make: 'owner',
      holds: 'certificate',
      description: 'Certificate and key for HTTPS in the tailnet, in PEM, where the tailnet makes none',
    },
  ],
  settings: [
    {
      name: 'database',
      kind: 'text',
      choices: ['sqlite', 'sql'],
      default: 'sqlite',
      description: 'Where it keeps its data: on its own disk, or on the SQL service of this device',
    },
    {
      name: 'url',
      kind: 'url',
      default: 'http://localhost:13000/',
      description:
        'Address at which it is reached, for links and clones; while it is this machine’s, the tailnet’s by HTTPS',
    },
    { name: 'admin', kind: 'text', default: 'owner', description: 'Name of the first administrator' },
    {
      name: 'email',
      kind: 'email',
      default: 'owner@localhost.localdomain',
      description: 'Address of the first administrator',
    },
  ],
  needs: [
    {
      service: 'sql',
      when: { setting: 'database', is: 'sql' },
      database: { name: 'forgejo', secret: 'database-password' },
    },
  ],
  units: ['forgejo'],
  health: { command: '/usr/lib/sovereign/forgejo-health', deadline: 180 },
});
