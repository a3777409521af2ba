import { SovereignError } from '@sovereign/report';
import { describe, expect, it } from 'vitest';
import { buildProgram, parse } from './program.ts';
import { table } from './table.ts';
import { service, three } from './testing/services.ts';

const only = [service('sql', 2)];

function ask(line: string, services = three) {
  const request = parse(line === '' ? [] : line.split(' '), services, '1.2.3');
  if (request.kind !== 'command') throw new Error(`answered with text: ${request.text}`);
  return { ...request, chosen: request.chosen.map(({ definition }) => definition.name) };
}

function refuse(line: string, services = three): SovereignError {
  try {
    ask(line, services);
  } catch (thrown) {
    if (thrown instanceof SovereignError) return thrown;
    throw thrown;
  }
  throw new Error(`accepted: ${line}`);
}

describe('a service is a word or a flag', () => {
  it.each([
    ['up sql', ['sql']],
    ['up --sql', ['sql']],
    ['up --forge sql', ['sql', 'forgejo']],
    ['up vault forge', ['vaultwarden', 'forgejo']],
    ['up vaultwarden rootfs-sql', ['sql', 'vaultwarden']],
    ['up sql sql --sql', ['sql']],
    ['up --all', ['sql', 'vaultwarden', 'forgejo']],
    ['status', ['sql', 'vaultwarden', 'forgejo']],
    ['lock', ['sql', 'vaultwarden', 'forgejo']],
    ['logs sql -f', ['sql']],
    ['logs --vault', ['vaultwarden']],
    ['devices', []],
  ])('%s', (line, expected) => {
    expect(ask(line).chosen).toEqual(expected);
  });

  it('takes the only one where none is named', () => {
    expect(ask('up', only).chosen).toEqual(['sql']);
    expect(ask('logs', only).chosen).toEqual(['sql']);
  });

  it('tells a glance from a question', () => {
    expect(ask('status', only).named).toBe(false);
    expect(ask('status sql', only).named).toBe(true);
    expect(ask('status --sql', only).named).toBe(true);
    expect(ask('status --all').named).toBe(true);
  });
});

describe('values and words', () => {
  it('reads flags on both sides of the service', () => {
    const { flags } = ask('up -s local sql --timeout 90 --base debian --locked --json --no-install');
    expect(flags).toMatchObject({
      serial: 'local',
      timeout: 90,
      base: 'debian',
      locked: true,
      json: true,
      install: false,
    });
  });

  it('--since asks for what is affected', () => {
    expect(ask('build --since HEAD~3').flags).toMatchObject({ affected: true, since: 'HEAD~3' });
  });

  it.each([
    ['exec sql -- ls -l --json', ['ls', '-l', '--json']],
    ['exec --sql -- ls', ['ls']],
    ['connect sql -- -c select', ['-c', 'select']],
    ['connect sql', []],
    ['secrets show sql postgres-password', ['postgres-password']],
    ['secrets show --sql postgres-password', ['postgres-password']],
    ['tailnet rename sql database', ['database']],
    ['completion fish', ['fish']],
  ])('%s keeps its words', (line, words) => {
    expect(ask(line).words).toEqual(words);
  });

  it("hands a command's own flags over by name", () => {
    expect(ask('remove sql --data').own).toEqual({ data: true });
    expect(ask('logs sql --boot').own).toEqual({ boot: true });
    expect(ask('up sql --no-tailnet').own).toEqual({ tailnet: false });
    expect(ask('up sql --tailnet --tailnet-key -').own).toEqual({ tailnet: true, tailnetKey: '-' });
    expect(ask('up sql').own).toEqual({});
  });
});

describe('what is wrong is refused with exit 2, and the nearest name offered', () => {
  it.each([
    ['', 'a command is missing', 'sovereign --help'],
    ['statu', "unknown command 'statu'", 'Did you mean status?'],
    ['upp sql', "unknown command 'upp'", 'Did you mean up?'],
    ['frobnicate', "unknown command 'frobnicate'", '--help'],
    ['up --sqll', "unknown option '--sqll'", 'Did you mean --sql?'],
    ['up --jsno sql', "unknown option '--jsno'", 'Did you mean --json?'],
    ['up sql --base debain', 'not a value of --base', 'Did you mean debian?'],
    ['up sql --base ubuntu', 'not a value of --base', 'Wanted: alpine or debian'],
    ['up slq', 'there is no such service', 'Did you mean sql?'],
    ['up vaultwardn', 'there is no such service', 'Did you mean vaultwarden?'],
    ['up mailserver', 'there is no such service', 'Services: sql, vault, forge'],
    ['up', 'say which service is meant', '--all'],
    ['logs', 'say which service is meant', 'Name one'],
    ['logs --sql --vault', 'this command takes one service', '--help'],
    ['status --timeout 3', "unknown option '--timeout'", ''],
    ['up sql --timeout 0', 'not a value of --timeout', 'whole number of seconds'],
    ['up sql --timeout ten', 'not a value of --timeout', 'whole number of seconds'],
    ['up sql --timeout -5', 'not a value of --timeout', 'whole number of seconds'],
    ['up sql --timeout', 'argument missing', ''],
    ['devices sql', 'too many arguments', ''],
    ['logs sql forge', 'too many arguments', ''],
    ['exec sql', 'command is missing', 'exec SERVICE [flags] -- COMMAND…'],
    ['exec sql ls -l', "unknown option '-l'", ''],
    ['secrets', 'a command is missing', 'sovereign secrets --help'],
    ['tailnet', 'a command is missing', 'sovereign tailnet --help'],
    ['tailnet rename sql', 'name is missing', 'tailnet rename SERVICE [flags] NAME'],
    ['secrets shwo sql', "unknown command 'shwo'", 'Did you mean show?'],
    ['completion', "missing required argument 'shell'", ''],
    ['completion bash zsh', 'too many arguments', ''],
    ['selftest --fast', "unknown option '--fast'", ''],
  ])('%s', (line, what, hint) => {
    const error = refuse(line);
    expect(error.exit).toBe(2);
    expect(error.what).toContain(what);
    expect(error.hint).toContain(hint);
  });
});

describe('help', () => {
  it.each(table.map(({ name }) => name))('%s has a description, its flags and an example', (name) => {
    const request = parse([...name.split(' '), '--help'], three, '1.2.3');
    if (request.kind !== 'text') throw new Error('no help');
    expect(request.text).toMatch(/^Usage: sovereign /);
    expect(request.text).toContain(`Usage: sovereign ${name} `);
    expect(request.text).toContain('--json');
    expect(request.text).toMatch(/Example:\n {2}.*sovereign/);
  });

  it.each(table.map((entry) => [entry.name, entry] as const))(
    'the example of %s is a command line that works',
    (_, entry) => {
      const line = entry.example
        .replace(/^source <\((.*)\)$/, '$1')
        .replace(/^sovereign /, '')
        .replace(/"([^"]*)"/, 'x');
      expect(ask(line).entry).toBe(entry);
    },
  );

  it('answers --version', () => {
    expect(parse(['--version'], three, '1.2.3')).toEqual({ kind: 'text', text: '1.2.3\n' });
  });

  it('lists every command', () => {
    const names = buildProgram(three, '1').commands.flatMap((command) => [
      // What only has commands of its own is none itself.
      ...(command.commands.length === 0 || command.registeredArguments.length > 0 ? [command.name()] : []),
      ...command.commands.map((sub) => `${command.name()} ${sub.name()}`),
    ]);
    expect(names).toEqual(table.map(({ name }) => name));
  });
});
