import { SovereignError } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { Command, CommanderError, Option } from 'commander';
import { commonFlags, flags, type Flags } from './flags.ts';
import { chooseServices, findService, nearest, wordOf } from './services.ts';
import { table, type CommandEntry } from './table.ts';

/** What a command line asks for. */
export type Request =
  | { kind: 'text'; text: string }
  | {
      kind: 'command';
      entry: CommandEntry;
      flags: Flags;
      own: Record<string, unknown>;
      chosen: FoundService[];
      named: boolean;
      words: string[];
    };

/**
 * Reads a command line.
 * @param argv the words behind `sovereign`
 * @throws SovereignError with exit 2 for everything that is wrong with it
 */
export function parse(argv: readonly string[], services: readonly FoundService[], version: string): Request {
  let request: Request | undefined;
  let text = '';
  const program = buildProgram(services, version, (parsed) => (request = parsed));
  for (const command of [program, ...program.commands, ...program.commands.flatMap((c) => c.commands)]) {
    command.exitOverride().configureOutput({ writeOut: (part) => (text += part), writeErr: () => undefined });
  }
  try {
    program.parse(argv, { from: 'user' });
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    if (thrown.exitCode === 0) return { kind: 'text', text };
    throw thrown.code === 'commander.help' ? missingCommand(argv) : usageError(thrown, program);
  }
  if (request === undefined) throw missingCommand(argv);
  return request;
}

function missingCommand(argv: readonly string[]): SovereignError {
  const on = ['sovereign', ...argv.slice(0, 1)].join(' ');
  const hint = `${on} --help lists them`;
  return new SovereignError({ code: 'usage', what: 'a command is missing', on, hint, exit: 2 });
}

/** The command tree; also what help texts and completion scripts are made of. */
export function buildProgram(
  services: readonly FoundService[],
  version: string,
  found: (request: Request) => void = () => undefined,
): Command {
  const program = new Command('sovereign')
    .description('Turns the phone in a drawer into a private server.')
    .version(version, '-V, --version', 'print the version')
    .helpCommand('help [command]', 'help for a command')
    .helpOption('-h, --help', 'help for a command')
    .usage('COMMAND [SERVICE…] [flags]')
    .addHelpText('after', rootHelp(services))
    .configureHelp({
      subcommandTerm: (command) => `${command.name()} ${command.usage().replace(' [flags]', '')}`,
    });
  // A flag belongs to the last command before it, also where a command that has commands of its own knows it too.
  program.enablePositionalOptions();
  for (const entry of table) {
    const [name = '', sub] = entry.name.split(' ');
    let parent = program;
    if (sub !== undefined) {
      parent = program.commands.find((command) => command.name() === name) ?? group(program, name);
      parent.enablePositionalOptions();
    }
    parent.addCommand(commandOf(entry, services, found));
  }
  return program;
}

/** What commands that have commands of their own are about. */
const groups: Readonly<Record<string, string>> = {
  secrets: 'what services keep secret: show it, change it, keep it safe',
  tailnet: 'how services are reached in your tailnet',
};

function group(program: Command, name: string): Command {
  const summary = groups[name] ?? '';
  const command = new Command(name).summary(summary);
  command.description(sentence(summary)).usage('COMMAND … [flags]');
  program.addCommand(command);
  return command;
}

function commandOf(
  entry: CommandEntry,
  services: readonly FoundService[],
  found: (request: Request) => void,
): Command {
  const command = new Command(entry.name.split(' ').at(-1));
  command.summary(entry.summary).description(describe(entry));
  command.addHelpText('after', `\nExample:\n  ${entry.example}\n`);
  if (entry.services === 'many') command.argument('[service...]', servicesHelp(services));
  // Optional for commander, since the service may be named by a flag; whether it was is checked below.
  if (entry.services === 'one') command.argument('[service]', servicesHelp(services));
  if (entry.words !== undefined)
    command.argument(entry.services === 'one' ? optional(entry.words) : entry.words);
  command.usage(usage(entry));
  if (entry.services !== 'none') {
    for (const service of services) {
      command.addOption(new Option(`--${wordOf(service)}`, service.definition.title));
    }
    if (entry.services === 'many') command.addOption(new Option('--all', 'every service'));
  }
  for (const { flags: spelling, description } of entry.own ?? []) command.option(spelling, description);
  for (const name of entry.flags) command.addOption(flags[name]());
  for (const make of commonFlags) command.addOption(make());
  command.action(() => found(readRequest(entry, command, services)));
  return command;
}

function readRequest(entry: CommandEntry, command: Command, services: readonly FoundService[]): Request {
  const options: Record<string, unknown> = command.opts();
  const flagged = services.filter((service) => options[camel(wordOf(service))] === true);
  const words = [...command.args];
  const named = flagged.length > 0 || options.all === true || (entry.services !== 'none' && words.length > 0);
  let chosen: FoundService[] = [];
  if (entry.services === 'many') {
    const none = entry.withoutService ?? 'only';
    // --affected chooses by itself, later: all of them are candidates until then.
    const all = options.all === true || (options.affected === true && flagged.length + words.length === 0);
    chosen = chooseServices(services, { words: words.splice(0), flagged, all, none });
  } else if (entry.services === 'one') {
    const named =
      flagged.length > 0 ? flagged : words.splice(0, 1).map((word) => findService(services, word));
    chosen = chooseServices(services, { words: named.map(wordOf), flagged: [], all: false, none: 'only' });
    if (chosen.length > 1) throw wrong('this command takes one service', chosen.map(wordOf).join(', '));
  }
  if (entry.words?.startsWith('<') === true && words.length === 0) {
    throw wrong(
      `${entry.words.replace(/[<>.]/g, '')} is missing`,
      entry.name,
      `${entry.name} ${usage(entry)}`,
    );
  }
  if (entry.words !== undefined && !entry.words.includes('...') && words.length > 1) {
    throw wrong('one word too many', words[1]);
  }
  const own = Object.fromEntries(
    Object.entries(options).filter(([key]) => (entry.own ?? []).some((flag) => isNameOf(flag.flags, key))),
  );
  return { kind: 'command', entry, flags: options as unknown as Flags, own, chosen, named, words };
}

const isNameOf = (spelling: string, key: string): boolean => new Option(spelling).attributeName() === key;

const camel = (word: string): string => word.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());

const optional = (words: string): string => words.replace('<', '[').replace('>', ']');

const wrong = (what: string, on?: string, use?: string): SovereignError =>
  new SovereignError({
    code: 'usage',
    what,
    on,
    hint: use === undefined ? 'Add --help to the command to see what it takes' : `Usage: sovereign ${use}`,
    exit: 2,
  });

/** What stands behind the command's name. */
function usage({ services, wordsUsage }: CommandEntry): string {
  const service = { many: ['[SERVICE…]'], one: ['SERVICE'], none: [] }[services];
  return [...service, '[flags]', ...(wordsUsage === undefined ? [] : [wordsUsage])].join(' ');
}

function describe({ summary, description }: CommandEntry): string {
  return description === undefined ? sentence(summary) : `${sentence(summary)}\n${description}`;
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

const servicesHelp = (services: readonly FoundService[]): string => services.map(wordOf).join(', ');

function rootHelp(services: readonly FoundService[]): string {
  return `
Services:
${services.map((service) => `  ${wordOf(service).padEnd(8)} ${service.definition.title}`).join('\n')}

A service is named by a word or by a flag: \`sovereign up sql\` is \`sovereign up --sql\`.

Example:
  sovereign up --sql          from nothing to a database that answers
  sovereign connect sql       open it

Exit status:
  0 done   1 failed   2 wrong command line   3 not healthy   4 no such device   130 interrupted
`;
}

/** What Commander says of the value of a flag: flag, value, reason. */
const WRONG_VALUE = /option '(?:-\w, )?(--[\w-]+) [^']*' argument '([^']*)' is invalid\. (.*?)\.?$/;

/** Commander's messages in our own form: what is wrong, and the nearest name where it knows one. */
function usageError(thrown: CommanderError, program: Command): SovereignError {
  const [first = '', ...rest] = thrown.message.split('\n');
  const [, flag, value = '', reason = ''] = WRONG_VALUE.exec(first) ?? [];
  if (flag !== undefined) {
    const choices = /^Allowed choices are (.*)$/.exec(reason)?.[1];
    const meant = choices === undefined ? undefined : nearest(value, choices.split(', '));
    const wanted = choices === undefined ? reason : `Wanted: ${choices.replace(/, ([^,]*)$/, ' or $1')}`;
    return new SovereignError({
      code: 'usage',
      what: `not a value of ${flag}`,
      on: value,
      hint: meant === undefined ? wanted : `Did you mean ${meant}?`,
      exit: 2,
    });
  }
  const suggestion = /Did you mean (?:one of )?(.*)\?/.exec(rest.join(' '))?.[1];
  const subject = /'([^']*)'/.exec(first)?.[1];
  const names = program.commands.map((command) => command.name());
  const near =
    suggestion ?? (thrown.code === 'commander.unknownCommand' ? nearest(subject ?? '', names) : undefined);
  return new SovereignError({
    code: 'usage',
    what: first.replace(/^error: /, '').replace(/\.$/, ''),
    on: subject,
    hint:
      near === undefined
        ? 'sovereign --help lists the commands, --help behind one its flags'
        : `Did you mean ${near}?`,
    exit: 2,
  });
}
