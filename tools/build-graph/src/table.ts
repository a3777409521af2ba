import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { workspaceRoot } from '@sovereign/store';

/** What an edit of one file reaches, for every kind of file in the repository. */
export interface Kind {
  what: string;
  files: RegExp;
  /** Exactly the tasks that make something (`build`, `config`) and read the file. What they make goes on from there. */
  builds: readonly string[] | 'all';
  /**
   * The checks (`lint`, `typecheck`, `test`): `none`; `all`; `own`, those of the file's project; `users`, also those of
   * every project that has it among its dependencies; or exactly these.
   */
  checks: 'none' | 'all' | 'own' | 'users' | RegExp;
  /** Further checks that may read it. */
  also?: RegExp;
}

/** Their tests boot machines, and read sources of all that runs there. */
const boots = /^(kernel|rootfs-\w+|virtual-phone|tailnet-lab|test-mirror|docker-engine|clean-clone):test$/;
/** Uses all of a clone as a user does. */
const clone = /^clean-clone:test$/;

/** The command line's tests read the services, which read what all guests have in common. */
const bootsAndCli = new RegExp(`${boots.source}|^@sovereign/cli:test$`);

/** A new service is a folder, and of no new kind. */
const services = readdirSync(join(workspaceRoot(), 'packages')).filter((name) => name.startsWith('rootfs-'));

const images = services.map((name) => `${name}:build`);
const kernel = ['kernel:build', 'kernel:config'];
const everything = [...images, ...kernel, 'device-agent:build', 'network:build'];

/** What each library takes part in. */
const libraries: Record<string, readonly string[]> = {
  report: everything,
  store: everything,
  base: everything,
  tools: everything,
  rootfs: images,
  sbom: images,
  service: [...images, 'kernel:build', 'device-agent:build', 'network:build'],
  kernel,
  device: ['device-agent:build'],
  go: [...images, 'network:build'],
  checks: [],
  diagnose: [],
  backup: [],
};

/** What each executor makes. */
const executors: Record<string, readonly string[]> = {
  'rootfs-build': images,
  'kernel-build': ['kernel:build'],
  'kernel-config': ['kernel:config'],
  'device-agent-bundle': ['device-agent:build'],
  'network-build': ['network:build'],
};

/** The first that fits counts. */
export const kinds: readonly Kind[] = [
  {
    what: 'what people and CI read',
    files: /^(docs\/.*\.md|README\.md|LICENSE|\.ci\/.*|\.github\/.*\.yml|\.prettierignore)$/,
    builds: [],
    checks: 'none',
  },
  {
    what: 'what a new checkout is set up and used with',
    files: /^(nx|\.npmrc)$/,
    builds: [],
    checks: clone,
  },
  {
    // Dependencies count one by one, as package-lock.json resolves them.
    what: 'the lists of packages and of projects',
    files: /^(package|tsconfig)\.json$/,
    builds: [],
    checks: clone,
  },
  {
    what: 'what Nx itself takes for an input of everything',
    files: /^(nx\.json|\.gitignore|tsconfig\.base\.json)$/,
    builds: 'all',
    checks: 'all',
  },
  {
    what: 'the script that brings Node, and the lock that it goes by',
    files: /^(sovereign|package-lock\.json)$/,
    builds: [],
    checks: /^(@sovereign\/cli|clean-clone):test$/,
    also: /^(virtual-phone|test-mirror):test$/,
  },
  {
    what: 'the style, which a generator follows',
    files: /^\.prettierrc\.json$/,
    builds: [],
    checks: /^@sovereign\/executors:test$/,
  },
  {
    what: 'the rules of ESLint',
    files: /^eslint\.config\.js$/,
    builds: [],
    checks: /:lint$|^@sovereign\/executors:test$/,
  },
  {
    what: 'how tests are run that boot a machine',
    files: /^vitest\.boot\.config\.ts$/,
    builds: [],
    checks: boots,
  },
  {
    what: 'how tests are run that boot nothing',
    files: /^vitest\.config\.ts$/,
    builds: [],
    checks: new RegExp(`^(?!${boots.source.slice(1, -1)}$).*:test$`),
  },
  { what: 'benchmarks', files: /^bench\/(\w+\.ts|tsconfig\.json)$/, builds: [], checks: /^bench:typecheck$/ },
  { what: 'how benchmarks are told to Nx', files: /^bench\/project\.json$/, builds: [], checks: 'none' },
  {
    what: 'tests',
    files: /^(libs|packages|tools)\/.*\.test\.ts$/,
    builds: [],
    checks: 'own',
    // The tools in a container are held to the tests of what they make.
    also: boots,
  },
  {
    what: 'what tests are helped by',
    files: /^(libs\/\w+(\/src)?|packages\/guest)\/(testdata|testing)\/|^packages\/[\w-]+\/test\//,
    builds: [],
    checks: 'users',
    also: bootsAndCli,
  },
  {
    what: 'how a project is told to Nx, to npm and to TypeScript',
    files: /^(libs|packages|tools)\/[\w-]+\/(project|package|tsconfig)\.json$/,
    builds: [],
    checks: 'users',
    also: /^@sovereign\/executors:test$|^bench:typecheck$/,
  },
  ...Object.entries(libraries).map(([name, builds]): Kind => ({
    what: `sources of the library ${name}`,
    files: new RegExp(`^libs/${name}/src/.*\\.(ts|sh)$`),
    builds,
    checks: 'users',
    also: boots,
  })),
  {
    what: 'the lock of the build tools',
    files: /^libs\/tools\/tools\.\w+\.lock\.json$/,
    builds: [...images, ...kernel],
    checks: 'users',
    also: boots,
  },
  {
    what: 'the locks of Go',
    files: /^libs\/go\/(toolchain|bootstrap\.\w+\.lock)\.json$/,
    builds: [...images, 'network:build'],
    checks: 'users',
    also: boots,
  },
  {
    what: 'keys of distributions',
    files: /^libs\/base\/keys\//,
    builds: everything,
    checks: 'users',
    also: boots,
  },
  {
    what: 'modules of a program for backups',
    files: /^libs\/backup\/restic\/go\.(mod|sum)$/,
    builds: [],
    checks: 'users',
  },
  {
    what: 'fragments of the kernel',
    files: /^packages\/kernel\/(fragments\/.*\.config|allow\.json)$/,
    builds: ['kernel:config'],
    checks: 'users',
    also: boots,
  },
  {
    what: 'the lock of the kernel’s source',
    files: /^packages\/kernel\/source\.lock\.json$/,
    builds: kernel,
    checks: 'users',
    also: new RegExp(`${boots.source}|^@sovereign/kernel:test$`),
  },
  ...services.map((name): Kind => ({
    what: `what the image of ${name} is made of`,
    files: new RegExp(`^packages/${name}/(service\\.config\\.ts|overlay/.*|\\w+\\.lock\\.json)$`),
    builds: [`${name}:build`],
    checks: 'own',
    also: new RegExp(
      `${boots.source}|^@sovereign/(cli|executors|guest):test$|^(docker-engine|virtual-phone|tailnet-lab|test-mirror):lint$`,
    ),
  })),
  {
    what: 'what all guests have in common',
    files: /^packages\/guest\/(overlay\/.*|[\w-]+\.ts)$/,
    builds: images,
    checks: 'users',
    also: bootsAndCli,
  },
  {
    what: 'the launcher',
    files: /^packages\/device-agent\/src\/.*\.sh$/,
    builds: ['device-agent:build'],
    checks: 'users',
    also: boots,
  },
  {
    what: 'other sources beside the launcher',
    files: /^packages\/device-agent\//,
    builds: [],
    checks: 'users',
  },
  {
    what: 'sources and modules of the network’s programs',
    files: /^packages\/network\/([\w-]+\.ts|(gvisor-tap-vsock|tailscale)\/.*)$/,
    builds: ['network:build'],
    checks: 'users',
    also: boots,
  },
  { what: 'the command line', files: /^packages\/cli\/src\//, builds: [], checks: 'users', also: boots },
  ...Object.entries(executors).map(([name, builds]): Kind => ({
    what: `the executor ${name}`,
    files: new RegExp(`^tools/executors/src/${name}/`),
    builds,
    checks: 'users',
    also: boots,
  })),
  {
    what: 'what executors share',
    files: /^tools\/executors\/src\/lib\//,
    builds: everything,
    checks: 'users',
    also: boots,
  },
  {
    what: 'the rest of the plugin',
    files: /^tools\/executors\//,
    builds: [],
    checks: 'users',
    also: new RegExp(`${boots.source}|^@sovereign/remote-cache:test$`),
  },
  {
    what: 'apko',
    files: /^tools\/apko\/(\w+\.ts|module\/(go\.(mod|sum)|main\.go))$/,
    builds: images,
    checks: 'users',
    also: boots,
  },
  {
    what: 'the remote cache',
    files: /^tools\/remote-cache\/(src\/.*|versitygw\/go\.(mod|sum)|serve|sovereign-cache\.service)$/,
    builds: [],
    checks: 'users',
  },
  {
    what: 'what tests run beside the real thing',
    files: /^tools\/(build-graph|clean-clone|virtual-phone|tailnet-lab|test-mirror|docker-engine)\//,
    builds: [],
    checks: 'users',
    also: boots,
  },
];

export const kindOf = (file: string): Kind | undefined => kinds.find(({ files }) => files.test(file));
