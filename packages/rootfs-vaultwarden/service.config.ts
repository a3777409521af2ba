import { guestLeavesOut, guestPackages } from '@sovereign/guest';
import { defineService } from '@sovereign/service';

const anotherDatabase = 'a client of MariaDB, which no setting chooses';

export default defineService({
  name: 'vaultwarden',
  title: 'Vaultwarden',
  net: { index: 3 },
  bases: {
    // Debian has no package of it.
    alpine: {
      packages: [...guestPackages.alpine, 'sqlite', 'vaultwarden-web-vault', 'vaultwarden'],
      leaveOut: { ...guestLeavesOut.alpine, 'mariadb-connector-c-dev': anotherDatabase },
    },
  },
  accounts: [{ name: 'vaultwarden', uid: 71, gid: 71, home: '/data/vaultwarden', shell: '/sbin/nologin' }],
  resources: { memory: 192, cpus: 1 },
  data: { kind: 'vaultwarden', major: 1, changes: 'version', collation: 'none', size: 1024 },
  ports: [
    {
      name: 'web',
      guest: 8000,
      host: 18_000,
      tailnet: 443,
      tls: { certificate: 'certificate', address: 'domain' },
      scheme: 'http',
    },
  ],
  secrets: [
    {
      name: 'admin-token',
      make: 'password',
      deliver: 'argon2id',
      description: 'Token of the admin page; the guest has its hash alone',
    },
    { name: 'database-password', make: 'password', description: 'Password of its role on the SQL service' },
    {
      name: 'certificate',
      make: 'owner',
      holds: 'certificate',
      description: 'Certificate and key for HTTPS in the tailnet, in PEM, where the tailnet makes none',
    },
    { name: 'smtp-password', make: 'owner', description: 'Password at your mail server' },
    { name: 'push-key', make: 'owner', description: 'Installation key of Bitwarden’s push service' },
  ],
  settings: [
    { name: 'owner', kind: 'email', description: 'Address of its owner, who is invited to register' },
    {
      name: 'database',
      kind: 'text',
      choices: ['sqlite', 'sql'],
      default: 'sqlite',
      description: 'Where it keeps its data: on its own disk, or on the SQL service of this device',
    },
    {
      name: 'domain',
      kind: 'url',
      default: 'http://localhost:18000',
      description:
        'Address at which its clients reach it; while it is this machine’s, the tailnet’s by HTTPS',
    },
    { name: 'smtp-host', kind: 'text', description: 'Mail server for invitations; none without it' },
    { name: 'smtp-port', kind: 'number', default: '587', description: 'Port of the mail server' },
    {
      name: 'smtp-security',
      kind: 'text',
      choices: ['starttls', 'force_tls', 'off'],
      default: 'starttls',
      description: 'How mail is encrypted on the way to the server',
    },
    { name: 'smtp-from', kind: 'email', description: 'Sender of its mail' },
    { name: 'smtp-username', kind: 'text', description: 'Login at the mail server' },
    { name: 'push-id', kind: 'text', description: 'Installation id of Bitwarden’s push service, for phones' },
  ],
  needs: [
    {
      service: 'sql',
      when: { setting: 'database', is: 'sql' },
      database: { name: 'vaultwarden', secret: 'database-password' },
    },
  ],
  invitation: { port: 'web', secret: 'admin-token', setting: 'owner' },
  units: ['vaultwarden'],
  health: { command: '/usr/lib/sovereign/vaultwarden-health', deadline: 120 },
});
