import { SovereignError } from '@sovereign/report';
import { z } from 'zod';

/** Distributions that a root filesystem can be made of. */
export const bases = ['alpine', 'debian'] as const;
export type Base = (typeof bases)[number];

const name = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'a lower-case word of at most 31 characters');
const path = z.string().regex(/^\/(?!.*(^|\/)\.\.(\/|$))/, 'an absolute path without ".."');

/** What a service's index on its device's network may be. */
export const NET_INDEX = { first: 2, last: 200 } as const;

/** What one base has to bring for a service. */
const baseSchema = z.strictObject({
  /** Package names as the base's own repository spells them. */
  packages: z.array(z.string().min(1)).min(1),
  /** Packages that the solver brings and the image leaves out, each with the reason why that is safe. */
  leaveOut: z.record(z.string(), z.string().min(1)).default({}),
});

const accountSchema = z.strictObject({
  name,
  /** The same on every base, so that a data disk made by one opens with the other. */
  uid: z.int().min(1).max(65_533),
  gid: z.int().min(1).max(65_533),
  home: path,
  shell: path,
});

const portSchema = z.strictObject({
  name,
  /** The port that the service listens on in the guest. */
  guest: z.int().min(1).max(65_535),
  /** The port on the device's 127.0.0.1 that is asked for first; the next free one is taken where it is in use. */
  host: z.int().min(1024).max(65_535),
  /** The port under which the owner's tailnet reaches it; absent where the tailnet shall not. */
  tailnet: z.int().min(1).max(65_535).optional(),
  /**
   * The guest takes TLS at the tailnet's port: nothing of this one goes to the tailnet in the clear, and no name of the
   * tailnet reaches it without a certificate.
   */
  tls: z
    .strictObject({
      /** Secret that holds the owner's certificate; without a value, the tailnet is asked for one. */
      certificate: name,
      /** Setting with the address that clients know the service by. */
      address: name,
    })
    .optional(),
  /** What opens it: `postgresql`, `http`, `ssh`. */
  scheme: z.enum(['postgresql', 'http', 'ssh']),
  /** User part of the address that is printed, where the scheme has one. */
  user: z.string().optional(),
  /** Path part of the address that is printed. */
  path: z.string().optional(),
});

const secretSchema = z.strictObject({
  name,
  /**
   * How it is made when it is first needed: `password` is 32 characters of the base64url alphabet. `owner` is never
   * made: the service does without it until its owner sets it.
   */
  make: z.enum(['password', 'owner']),
  /** How it reaches the guest: as it is, or as the PHC string of its argon2id hash, where that is all it needs. */
  deliver: z.enum(['plain', 'argon2id']).default('plain'),
  /** What it is where it is no word of any kind: a certificate's chain and its key, in PEM; an address on the web. */
  holds: z.enum(['certificate', 'address']).optional(),
  description: z.string().min(1),
});

/** Every service has it, beside its own secrets: whoever knows the address can say that all is well. */
export const HEARTBEAT = 'heartbeat';
const heartbeat: z.output<typeof secretSchema> = {
  name: HEARTBEAT,
  make: 'owner',
  deliver: 'plain',
  holds: 'address',
  description: 'Address that the guest calls every minute while the service is healthy, or off',
};

/** What a setting's value may be. `flag` is `yes` or `no`. */
export const settingKinds = {
  text: z.string().regex(/^[^\p{Cc}]{1,300}$/u, 'one line of at most 300 characters'),
  flag: z.enum(['yes', 'no']),
  number: z.string().regex(/^\d{1,9}$/, 'a whole number'),
  email: z.email(),
  url: z.url({ protocol: /^https?$/, hostname: z.regexes.hostname }),
} as const;

const settingSchema = z.strictObject({
  name,
  description: z.string().min(1),
  kind: z.enum(Object.keys(settingKinds) as [keyof typeof settingKinds]),
  /** The only values that a `text` may have. */
  choices: z.array(z.string().min(1)).min(2).optional(),
  /** What holds where the owner says nothing; without it the guest is told nothing. */
  default: z.string().optional(),
});

/** Every service has it, beside its own settings: how its data disk takes the device's space. */
export const DISK = 'disk';
const disk: z.output<typeof settingSchema> = {
  name: DISK,
  kind: 'text',
  choices: ['thin', 'thick'],
  description:
    'Data disk that takes the device’s space as it is used and gives it back, or all of it at once (as a phone’s does where this is not set)',
};

/** Another service of the same device, which has to be healthy before this one starts. */
const needSchema = z.strictObject({
  service: name,
  /** Only where this setting has this value. */
  when: z.strictObject({ setting: name, is: z.string() }).optional(),
  /** A role and a database of this name on it, whose password is that secret of ours. */
  database: z.strictObject({ name: z.string().regex(/^[a-z][a-z0-9_]{0,30}$/), secret: name }).optional(),
});

const dataSchema = z.strictObject({
  /** Names the format of what lies on the disk; a disk of another kind is refused. */
  kind: name,
  /** Major version of that format. */
  major: z.int().positive(),
  /**
   * What may change the format by itself when it first starts on older data: another `major` alone, or every other
   * `version` of the main package, as programs do that migrate their tables. Such a release is tried on a copy of the data.
   */
  changes: z.enum(['major', 'version']).default('major'),
  /** Collation version, where sorted data depends on one. */
  collation: z.string().min(1),
  /** Whether the service runs programs that lie there, as Git runs the hooks of a repository. Else the disk has none. */
  programs: z.boolean().default(false),
  /** Size of a new disk in MiB. */
  size: z.int().min(64),
});

const serviceFields = z.strictObject({
  name,
  title: z.string().min(1),
  /** Fixed for life: the guest's address is 192.168.127.<index> (docs/formats.md, "Network plan"). */
  net: z.strictObject({ index: z.int().min(NET_INDEX.first).max(NET_INDEX.last) }),
  bases: z.strictObject({ alpine: baseSchema.optional(), debian: baseSchema.optional() }),
  accounts: z.array(accountSchema),
  resources: z.strictObject({
    /** MiB of guest memory. */
    memory: z.int().min(64),
    cpus: z.int().min(1).max(8),
  }),
  data: dataSchema,
  ports: z.array(portSchema).superRefine((ports, context) => {
    const numbers = ports.flatMap(({ tailnet }) => tailnet ?? []);
    const twice = numbers.find((number, index) => numbers.indexOf(number) !== index);
    if (twice !== undefined) {
      context.addIssue({ code: 'custom', message: `two ports have the tailnet's port ${twice}` });
    }
  }),
  secrets: z.array(secretSchema),
  /** What its owner may decide; a value reaches the guest as a line `setting NAME VALUE` of guest.conf. */
  settings: z.array(settingSchema).default([]),
  needs: z.array(needSchema).default([]),
  /**
   * Nobody may register but whom its admin page invites, as Vaultwarden's does: its owner, once. The port that has the
   * page, the secret that opens it, the setting with the owner's address.
   */
  invitation: z.strictObject({ port: name, secret: name, setting: name }).optional(),
  /** OpenRC services of this service that have to be started, in addition to those that every guest has. */
  units: z.array(name).min(1),
  health: z.strictObject({
    /** Command in the guest that makes a real request; it prints a reason and exits non-zero when it fails. */
    command: path,
    /** Longest time from power-on to the first healthy report before a start counts as failed, in seconds. */
    deadline: z.int().positive(),
  }),
  /** Kernel symbols that the service cannot do without, asked of the running kernel by `test`. */
  kernel: z.array(z.string().regex(/^CONFIG_[A-Z0-9_]+$/)).default([]),
});

/** What no field can say alone: names that have to be there, once. */
export const serviceSchema = serviceFields.superRefine(
  ({ ports, settings, secrets, needs, invitation }, context) => {
    const refuse = (message: string): void => context.addIssue({ code: 'custom', message });
    const names = settings.map((setting) => setting.name);
    const twice = names.find((one, index) => names.indexOf(one) !== index);
    if (twice !== undefined) refuse(`two settings are called ${twice}`);
    for (const { name: setting, kind, choices, default: preset } of settings) {
      for (const value of [...(choices ?? []), ...(preset === undefined ? [] : [preset])]) {
        if (!settingKinds[kind].safeParse(value).success) refuse(`${setting}: ${value} is no ${kind}`);
      }
      if (preset !== undefined && choices?.includes(preset) === false) {
        refuse(`${setting}: its default ${preset} is not one of its choices`);
      }
    }
    // A definition that is made of another one has both already.
    if (settings.some((setting) => setting.name === DISK && setting.description !== disk.description)) {
      refuse(`every service has a setting ${DISK}: its own needs another name`);
    }
    if (secrets.some((secret) => secret.name === HEARTBEAT && secret.description !== heartbeat.description)) {
      refuse(`every service has a secret ${HEARTBEAT}: its own needs another name`);
    }
    if (invitation !== undefined) {
      for (const [what, list] of [
        ['port', ports],
        ['secret', secrets],
        ['setting', settings],
      ] as const) {
        const wanted = invitation[what];
        if (!list.some((one) => one.name === wanted)) refuse(`its invitation has no ${what} ${wanted}`);
      }
    }
    for (const { name: port, tailnet, scheme, tls } of ports) {
      if (tls === undefined) continue;
      if (tailnet === undefined || scheme !== 'http') {
        refuse(`${port}: TLS is taken at a port of the tailnet, in front of http`);
      }
      if (ports.some(({ guest }) => guest === tailnet)) {
        refuse(`${port}: TLS is taken at ${tailnet}, where a service of the guest listens`);
      }
      if (!secrets.some(({ name, holds }) => name === tls.certificate && holds === 'certificate')) {
        refuse(`${port}: it has no secret ${tls.certificate} that holds a certificate`);
      }
      if (!settings.some(({ name, kind }) => name === tls.address && kind === 'url')) {
        refuse(`${port}: it has no setting ${tls.address} that is an address`);
      }
    }
    if (ports.filter(({ tls }) => tls !== undefined).length > 1)
      refuse('TLS is taken at one port, not at two');
    for (const { service, when, database } of needs) {
      if (when !== undefined && !names.includes(when.setting)) {
        refuse(`it needs ${service} by its setting, but has no setting ${when.setting}`);
      }
      if (database !== undefined && !secrets.some((secret) => secret.name === database.secret)) {
        refuse(`its database on ${service} has a password, but it has no secret ${database.secret}`);
      }
    }
  },
);

export type ServiceDefinition = z.output<typeof serviceSchema>;

/**
 * Declares a service: everything that the lock, the image, the launcher, the guest and the tests need to know.
 * @throws SovereignError `bad-definition` naming every field that is wrong
 */
export function defineService(definition: z.input<typeof serviceSchema>): ServiceDefinition {
  const result = serviceSchema.safeParse(definition);
  if (result.success) {
    const secrets = result.data.secrets.filter((secret) => secret.name !== HEARTBEAT);
    const settings = result.data.settings.filter((setting) => setting.name !== DISK);
    return Object.freeze({
      ...result.data,
      secrets: [...secrets, heartbeat],
      settings: [...settings, disk],
    });
  }
  throw new SovereignError({
    code: 'bad-definition',
    what: `the service definition is wrong: ${z.prettifyError(result.error).replaceAll('\n', ' ')}`,
    on: definition.name,
    hint: 'Correct service.config.ts; docs/services.md describes every field',
  });
}

/** Address of a service's guest on the network that the guests of one device share. */
export const guestAddress = ({ net }: Pick<ServiceDefinition, 'net'>): string => `192.168.127.${net.index}`;

/** Hardware address of a service's guest, from its index as docs/formats.md says. */
export const guestMac = ({ net }: Pick<ServiceDefinition, 'net'>): string =>
  `52:53:56:00:00:${net.index.toString(16).padStart(2, '0')}`;
