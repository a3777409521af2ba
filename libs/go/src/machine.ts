import { readdir, readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates } from 'node:tls';

/**
 * What Go reads of the environment when it fetches: where modules come from, who vouches for them, and the way out of
 * the machine. https://go.dev/ref/mod#environment-variables, net/http.ProxyFromEnvironment
 */
const variables = [
  ...[
    'GOPROXY',
    'GOPRIVATE',
    'GONOPROXY',
    'GOSUMDB',
    'GONOSUMDB',
    'GOINSECURE',
    'GOVCS',
    'GOAUTH',
    'GODEBUG',
  ],
  ...['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'],
];

/** Where Go looks for the system's authorities on Linux, in its order (crypto/x509/root_linux.go). */
const bundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

const readIfThere = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

/**
 * Gives a shell script that sets, where Go sees nothing of this machine, what it would find here: variables, Go's own
 * settings (`go env -w`), names and passwords of netrc, authorities. Files go into the folder, for its owner alone: an
 * address may hold a password too, so that no value is an argument of a program.
 * @param inside gives the path under which Go sees a file of the folder
 */
export async function machineSettings(
  folder: string,
  inside: (path: string) => string,
  { HOME, ...env }: NodeJS.ProcessEnv = process.env,
  platform = process.platform,
): Promise<string> {
  /** Go takes an empty variable for none. */
  const set = (name: string): string | undefined => (env[name] === '' ? undefined : env[name]);
  const lines = variables.flatMap((name) => {
    const value = env[name];
    return value === undefined ? [] : [assignment(name, value)];
  });
  const file = async (name: string, variable: string, content: string) => {
    if (content === '') return;
    await writeFile(join(folder, name), content, { mode: 0o600 });
    lines.push(assignment(variable, inside(join(folder, name))));
  };
  const home = HOME ?? homedir();
  const [settings, netrc] = [
    set('GOENV') ?? ownSettings(home, set('XDG_CONFIG_HOME'), platform),
    set('NETRC'),
  ];
  if (settings === 'off') lines.push(assignment('GOENV', 'off'));
  else await file('env', 'GOENV', await readIfThere(settings));
  await file('netrc', 'NETRC', await readIfThere(netrc ?? join(home, '.netrc')));
  const trusted = await authorities(set('SSL_CERT_FILE'), set('SSL_CERT_DIR'), platform);
  await file('authorities', 'SSL_CERT_FILE', trusted);
  return lines.join('');
}

const assignment = (name: string, value: string): string =>
  `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`;

/** As os.UserConfigDir of Go has it. */
const ownSettings = (home: string, config: string | undefined, platform: NodeJS.Platform): string =>
  platform === 'darwin'
    ? join(home, 'Library/Application Support/go/env')
    : join(config ?? join(home, '.config'), 'go/env');

/** The certificates that Go trusts here, as PEM: of files on Linux, and of the keychain on a Mac. */
async function authorities(
  named: string | undefined,
  folders: string | undefined,
  platform: NodeJS.Platform,
): Promise<string> {
  if (platform === 'darwin') return `${getCACertificates('system').join('\n')}\n`;
  const files = named === undefined ? bundles : [named];
  const found = (await Promise.all(files.map(readIfThere))).find((text) => text !== '');
  const texts = new Set([found ?? '']);
  for (const folder of folders?.split(':') ?? []) {
    for (const name of await readdir(folder).catch(() => []))
      texts.add(await readIfThere(join(folder, name)));
  }
  return [...texts].join('\n');
}
