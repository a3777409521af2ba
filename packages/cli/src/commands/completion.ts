import { SovereignError } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { buildProgram } from '../program.ts';
import { nearest, wordOf } from '../services.ts';
import type { Run } from '../session.ts';

interface Completed {
  /** `up`, `secrets show`. */
  path: string;
  summary: string;
  flags: { long: string; short: string | undefined; description: string }[];
  /** Words that may follow. */
  words: string[];
}

export const completion: Run = ({ words, services }) => {
  const [shell = ''] = words;
  const write = writers[shell];
  if (write === undefined) {
    const known = Object.keys(writers);
    const near = nearest(shell, known);
    throw new SovereignError({
      code: 'unknown-shell',
      what: 'there is no completion for this shell',
      on: shell,
      hint: near === undefined ? `Shells: ${known.join(', ')}` : `Did you mean ${near}?`,
      exit: 2,
    });
  }
  const text = write(completedCommands(services));
  return Promise.resolve({ json: { shell, script: text }, text });
};

/** The command tree as completion scripts need it. */
export function completedCommands(services: readonly FoundService[]): Completed[] {
  const names = services.map(wordOf);
  const program = buildProgram(services, '');
  return program.commands.flatMap((command) => {
    const subs = command.commands;
    const group: Completed = {
      path: command.name(),
      summary: command.summary(),
      // A group that is no command by itself takes nothing.
      flags: subs.length > 0 && command.registeredArguments.length === 0 ? [] : flagsOf(command),
      words: [...subs.map((sub) => sub.name()), ...wordsOf(command)],
    };
    const inner = subs.map((sub) => ({
      path: `${command.name()} ${sub.name()}`,
      summary: sub.summary(),
      flags: flagsOf(sub),
      words: wordsOf(sub),
    }));
    // Behind the service of a command that has commands too.
    const named = subs.length > 0 ? wordsOf(command).map((word) => `${command.name()} ${word}`) : [];
    return [group, ...inner, ...named.map((path) => ({ ...group, path, words: [] }))];
  });

  function flagsOf(command: (typeof program.commands)[number]): Completed['flags'] {
    return [...command.options, { long: '--help', short: '-h', description: 'help for this command' }].map(
      ({ long, short, description }) => ({ long: long ?? '', short: short ?? undefined, description }),
    );
  }

  function wordsOf(command: (typeof program.commands)[number]): string[] {
    const argument = command.registeredArguments[0]?.name();
    if (argument === 'service') return names;
    return argument === 'shell' ? Object.keys(writers) : [];
  }
}

const top = (commands: readonly Completed[]): Completed[] =>
  commands.filter(({ path }) => !path.includes(' '));

const bash = (commands: readonly Completed[]): string => `# Completion of sovereign for bash.
_sovereign() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in
      --) return ;;
      -*) ;;
      *)
        case "$path" in
          '' | ${groups(commands)}) path="\${path:+$path }$word" ;;
        esac
        ;;
    esac
  done
  local words=''
  case "$path" in
    '') words='${top(commands)
      .map(({ path }) => path)
      .join(' ')} --help --version' ;;
${commands.map(({ path, words, flags }) => `    '${path}') words='${[...words, ...flags.map(({ long }) => long)].join(' ')}' ;;`).join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _sovereign sovereign ./sovereign`;

// `path` would be the shell's own search path.
const zsh = (commands: readonly Completed[]): string => `#compdef sovereign
# Completion of sovereign for zsh.
_sovereign() {
  local chain='' word
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case $word in
      --) return ;;
      -*) ;;
      *)
        case $chain in
          '' | ${groups(commands)}) chain="\${chain:+$chain }$word" ;;
        esac
        ;;
    esac
  done
  local -a candidates
  case $chain in
    '')
      candidates=(
${top(commands)
  .map(({ path, summary }) => `        ${quote(`${path}:${summary}`)}`)
  .join('\n')}
      )
      ;;
${commands
  .map(
    ({ path, words, flags }) => `    '${path}')
      candidates=(
${[
  ...words.map((word) => quote(word)),
  ...flags.map(({ long, description }) => quote(`${long}:${description}`)),
]
  .map((line) => `        ${line}`)
  .join('\n')}
      )
      ;;`,
  )
  .join('\n')}
  esac
  _describe sovereign candidates
}
compdef _sovereign sovereign`;

const fish = (commands: readonly Completed[]): string => {
  const lines = top(commands).map(
    ({ path, summary }) => `complete -c sovereign -n __fish_use_subcommand -a ${path} -d ${quote(summary)}`,
  );
  for (const { path, words, flags } of commands) {
    const seen = path
      .split(' ')
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join('; and ');
    for (const word of words) lines.push(`complete -c sovereign -n '${seen}' -a ${word}`);
    for (const { long, short, description } of flags) {
      const letter = short === undefined ? '' : ` -s ${short.slice(1)}`;
      lines.push(`complete -c sovereign -n '${seen}' -l ${long.slice(2)}${letter} -d ${quote(description)}`);
    }
  }
  return ['# Completion of sovereign for fish.', `complete -c sovereign -f`, ...lines].join('\n');
};

const writers: Readonly<Record<string, (commands: readonly Completed[]) => string>> = { bash, zsh, fish };

/** Commands that have commands of their own, as a pattern of the shell. */
const groups = (commands: readonly Completed[]): string =>
  [...new Set(commands.filter(({ path }) => path.includes(' ')).map(({ path }) => path.split(' ')[0]))].join(
    ' | ',
  );

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
