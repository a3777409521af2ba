import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { shells, SOON, StandInGuest } from './testing/scripts.ts';

// Each asks with some dozen processes, on a machine that may have other work.
vi.setConfig({ testTimeout: 120_000 });

const library = join(import.meta.dirname, '../rootfs-forgejo/overlay/usr/lib/sovereign');

/**
 * Stand-ins for what the health of Forgejo asks and makes. What Forgejo knows is in files: `account` has an address,
 * `password`, `token`, `key` and `repository` what they are called; `shut-http` and `shut-ssh` are what git ends with.
 */
const programs: Readonly<Record<string, string>> = {
  su: 'shift 7; exec "$@"',
  chown: ':',
  wget: '[ ! -e "$HERE/down" ]',
  forgejo: `case "$*" in
*'generate secret'*) echo secret ;;
*'user list'*)
	echo 'ID   Username Email IsActive IsAdmin 2FA'
	[ ! -e "$HERE/account" ] || echo "2    sovereign-health $(cat "$HERE/account") true     false   false" ;;
*'user delete'*) rm -f "$HERE/account" "$HERE/password" "$HERE/repository" "$HERE/key" "$HERE/token" ;;
*'user create'*)
	[ ! -e "$HERE/account" ] || { echo 'Command error: CreateUser: user already exists' >&2; exit 1; }
	echo sovereign-health@localhost.localdomain >"$HERE/account"
	echo "it's a\\"planted" >"$HERE/password"
	echo "generated random password is 'it's a\\"planted'"
	echo "New user 'sovereign-health' has been successfully created!" ;;
*generate-access-token*) echo "planted-$$" | tee "$HERE/token" ;;
esac`,
  nc: `[ "$1" != -w ] || { echo SSH-2.0-stand-in; exit; }
read -r method path rest
while read -r line && [ "$line" != "$(printf '\\r')" ]; do
	case $line in
	Authorization:*) asked=\${line#Authorization: } asked=\${asked%?} ;;
	Content-Length:*) length=\${line#Content-Length: } length=\${length%?} ;;
	esac
done
body=$(dd bs=1 count="$length" 2>/dev/null)
case $asked in
"Basic $(printf '%s:%s' sovereign-health "$(cat "$HERE/password" 2>/dev/null)" | base64)" | "token $(cat "$HERE/token" 2>/dev/null)") ;;
*) asked= ;;
esac
echo "http $method $path" >>"$HERE/calls"
case "$method $path" in
*) [ -n "$asked" ] || { printf 'HTTP/1.0 401 Unauthorized\\r\\n\\r\\n'; exit; } ;;
esac
case "$method $path" in
'POST /api/v1/user/repos') echo health >"$HERE/repository"; status='201 Created' ;;
*) status='404 Not Found' ;;
esac
if [ -e "$HERE/repository" ]; then
	case "$method $path" in
	'POST /api/v1/repos/sovereign-health/health/keys') echo "$body" >"$HERE/key"; status='201 Created' ;;
	'GET /api/v1/repos/sovereign-health/health/keys') status='200 OK' ;;
	esac
fi
printf 'HTTP/1.0 %s\\r\\n\\r\\n' "$status"
[ "$method" != GET ] || cat "$HERE/key" 2>/dev/null`,
  git: `[ ! -e "$HERE/hangs" ] || exec sleep 60
case "$*" in
*http://sovereign-health@127.0.0.1:3000/sovereign-health/health.git)
	way=http
	[ -e "$HERE/repository" ] && [ "$("$GIT_ASKPASS")" = "$(cat "$HERE/token")" ] || echo 'fatal: Authentication failed' >"$HERE/shut" ;;
*ssh://git@127.0.0.1:2222/sovereign-health/health.git)
	way=ssh
	echo "dbclient: Caution, skipping hostkey check for 127.0.0.1" >&2
	[ -e "$HERE/repository" ] && grep -q -F "$(cat "$HERE/data/forgejo/health/key.pub")" "$HERE/key" || echo 'dbclient: Permission denied' >"$HERE/shut" ;;
esac
echo "git $way" >>"$HERE/calls"
[ ! -e "$HERE/shut-$way" ] || cp "$HERE/shut-$way" "$HERE/shut"
if [ -e "$HERE/shut" ]; then
	cat "$HERE/shut" >&2
	rm "$HERE/shut"
	[ $way = http ] || printf 'fatal: Could not read from remote repository.\\n\\nPlease make sure you have the correct access rights\\nand the repository exists.\\n' >&2
	exit 128
fi
printf '%s\\trefs/heads/main\\n' 0123456789012345678901234567890123456789`,
  dropbearkey: `case $1 in
-t) [ ! -e "$4" ] && echo "planted private $$" >"$4" ;;
-y) printf 'Public key portion is:\\nssh-ed25519 AAAA%s somebody@here\\nFingerprint: SHA256:x\\n' "$(cksum <"$3" | cut -d ' ' -f 1)" ;;
esac`,
};

describe.each(shells)('the health of Forgejo under %s', (_name, shell) => {
  let guest: StandInGuest;

  beforeEach(() => {
    guest = new StandInGuest(shell);
    guest.hurry = {
      HERE: guest.folder,
      SOVEREIGN_LIB_FORGEJO: library,
      SOVEREIGN_FORGEJO: guest.path('bin/forgejo'),
      SOVEREIGN_SETTINGS: guest.path('settings'),
    };
    for (const folder of ['data/forgejo/keys', 'settings'])
      mkdirSync(guest.path(folder), { recursive: true });
    for (const [name, body] of Object.entries(programs)) {
      guest.program(name, `${name === 'nc' ? '' : `echo "${name} $*" >>"$HERE/argv"`}\n${body}`);
    }
  });

  afterEach(() => guest.remove());

  const forgejo = (word: string) => guest.call(join(library, 'forgejo'), [word]);
  const found = () => guest.read('git').replace(/^\d+ /, '');
  const own = (name: string) => guest.path(`data/forgejo/health/${name}`);
  const made = () => guest.read('argv').split('forgejo --config').length - 1;
  const calls = () => guest.read('calls').trim().split('\n');

  test('asks by git over both ways, as an account that it has made, and keeps its secrets to itself', () => {
    expect(forgejo('git')).toMatchObject({ status: 0, stdout: '' });
    expect(found()).toBe('ok\n');
    expect(calls().filter((line) => line.startsWith('git'))).toEqual(['git http', 'git ssh']);
    expect(readFileSync(own('token'), 'utf8')).toBe(guest.read('token'));
    for (const name of ['key', 'token']) expect(statSync(own(name)).mode & 0o777, name).toBe(0o600);
    expect(guest.read('argv')).toMatch(/admin user create --username sovereign-health .*--restricted/);
    expect(guest.read('argv')).toMatch(/generate-access-token .*--scopes read:repository /);
    expect(guest.read('argv')).not.toContain('planted');
    expect(guest.read('key')).toContain('"read_only":true');
    // What the requests and answers were in.
    expect(readdirSync(guest.path('settings'))).toEqual(['said']);
  });

  test('makes nothing where all is there', () => {
    forgejo('git');
    guest.write('argv', '');
    expect(forgejo('git').status).toBe(0);
    expect(made()).toBe(0);
  });

  test.each([
    ['the account', ['account', 'password', 'repository', 'key', 'token']],
    ['the repository', ['repository']],
    ['the key', ['key']],
    ['the token', ['token']],
    ['the folder on the data disk', ['data/forgejo/health']],
  ])('makes all anew, once, where %s is gone', (_case, gone) => {
    forgejo('git');
    for (const name of gone) rmSync(guest.path(name), { recursive: true });
    if (gone[0] === 'key') guest.write('key', '{"key":"ssh-ed25519 another"}');
    guest.write('argv', '');
    expect(forgejo('git')).toMatchObject({ status: 0, stdout: '' });
    expect(guest.read('argv').match(/admin user create/g)).toHaveLength(1);
    expect(readFileSync(own('token'), 'utf8')).toBe(guest.read('token'));
  });

  test.each([
    ['http', 'fatal: unable to access: 500', 'git over HTTP: fatal: unable to access: 500'],
    ['ssh', 'Forgejo: internal error', 'git over SSH: Forgejo: internal error'],
    ['ssh', '', 'git over SSH: fatal: Could not read from remote repository.'],
  ])('says that %s is shut and how git puts it, and makes nothing', (way, text, told) => {
    forgejo('git');
    guest.write('argv', '');
    guest.write(`shut-${way}`, text === '' ? '' : `${text}\n`);
    expect(forgejo('git')).toMatchObject({ status: 1, stdout: `${told}\n` });
    expect(forgejo('health')).toMatchObject({ status: 1, stdout: `${told}\n` });
    expect(made()).toBe(0);
    rmSync(guest.path(`shut-${way}`));
    expect(forgejo('git').status).toBe(0);
    expect(forgejo('health')).toMatchObject({ status: 0, stdout: '' });
  });

  test('waits for a git that hangs as long as it may', () => {
    forgejo('git');
    guest.write('hangs', '');
    guest.hurry.SOVEREIGN_GIT_PATIENCE = '0.2';
    expect(forgejo('git').stdout).toBe(
      'git over HTTP: no answer within 0.2 s; git over SSH: no answer within 0.2 s\n',
    );
  });

  test('leaves an account of that name alone that is somebody else’s', () => {
    guest.write('account', 'somebody@example.org\n');
    const { status, stdout } = forgejo('git');
    expect(status).toBe(1);
    expect(stdout).toMatch(/^git: the account sovereign-health could not be made: somebody else's account/);
    expect(guest.read('argv')).not.toContain('user delete');
  });

  test('says what a command of Forgejo says that fails', () => {
    guest.program('forgejo', 'case "$*" in *create*) echo "CreateUser: disk full" >&2; exit 1 ;; esac');
    expect(forgejo('git').stdout).toBe(
      'git: the account sovereign-health could not be made: no account: CreateUser: disk full\n',
    );
  });

  test('starts until git was asked, and asks again aside when it is time to', async () => {
    expect(forgejo('health').status).toBe(75);
    forgejo('git');
    guest.write('calls', '');
    expect(forgejo('health')).toMatchObject({ status: 0, stdout: '' });
    expect(calls()).toEqual(['']);
    guest.write('shut-http', 'fatal: gone');
    guest.hurry.SOVEREIGN_GIT_SECONDS = '0';
    // By what was found before: it waits for no git.
    expect(forgejo('health').status).toBe(0);
    await vi.waitUntil(() => found() !== 'ok\n' && !existsSync(guest.path('git-asking')), SOON);
    expect(forgejo('health')).toMatchObject({ status: 1, stdout: 'git over HTTP: fatal: gone\n' });
    rmSync(guest.path('shut-http'));
    guest.hurry.SOVEREIGN_GIT_AGAIN = '0';
    forgejo('health');
    await vi.waitUntil(() => found() === 'ok\n' && !existsSync(guest.path('git-asking')), SOON);
  });

  test('asks nothing more where Forgejo does not run, and says so', () => {
    forgejo('git');
    guest.write('down', '');
    guest.hurry.SOVEREIGN_GIT_SECONDS = '0';
    guest.write('calls', '');
    expect(forgejo('health')).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('/api/healthz') as string,
    });
    expect(calls()).toEqual(['']);
  });

  test.each([
    // No process has this number.
    ['is gone', '99999999 1\n'],
    ['had the number of another', `${process.pid} 1\n`],
  ])('goes by nothing that was found before a start, and is not held up by one that %s', (_case, mark) => {
    forgejo('git');
    guest.write('data/sovereign.json', '{\n  "initialised": true\n}\n');
    guest.write('config/guest.conf', 'setting url http://localhost:13000/\n');
    guest.write('git-asking', mark);
    expect(forgejo('initialise')).toMatchObject({ status: 0 });
    expect(forgejo('health').status).toBe(75);
    expect(forgejo('git').status).toBe(0);
    expect(existsSync(guest.path('git-asking'))).toBe(false);
  });
});
