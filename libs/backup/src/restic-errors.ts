import { SovereignError } from '@sovereign/report';

/** restic's exit statuses: https://restic.readthedocs.io/en/v0.18.1/075_scripting.html#exit-codes */
const status = { noRepository: 10, locked: 11, wrongPassword: 12 } as const;

/** Lines of what restic printed that an error repeats. */
const LAST_LINES = 5;

/**
 * What a failure of restic means, by its exit status and by what it printed.
 * @param said on standard error, by the command whose output was to be kept
 */
export function resticFailed(
  repository: string,
  verb: string,
  exitCode: number | undefined,
  output: string,
  said = '',
): SovereignError {
  const printed = messages(output);
  const text = printed.join('\n');
  const error = (code: string, what: string, hint: string): SovereignError =>
    new SovereignError({ code, what, on: repository, hint });
  if (exitCode === status.noRepository) {
    return error(
      'no-repository',
      'there is no backup repository at this place',
      'Attach the disk or reach the server that it is on; a new one is made where --to names the place',
    );
  }
  if (exitCode === status.wrongPassword) {
    return error(
      'wrong-backup-key',
      'the repository was made with another password than that of this workstation',
      'Put the password of the workstation that made it into devices/backup/password of the settings folder, or import its recovery kit',
    );
  }
  if (exitCode === status.locked) {
    return error(
      'repository-locked',
      'another backup, or a check, is at work in the repository',
      'Wait for it to end. A lock that a killed process left goes by itself after 30 minutes',
    );
  }
  if (/no space left on device|disk quota exceeded|insufficient storage|\b507\b/i.test(text)) {
    return error(
      'target-full',
      'the target of the backup is full',
      'Make room there; earlier backups stay as they were',
    );
  }
  if (text.includes('command failed')) return commandFailed(said, error);
  if (
    /ciphertext verification failed|repository contains errors|unexpected pack|does not match|no such file or directory|invalid data returned|unable to load index|not found in/i.test(
      text,
    )
  ) {
    return error(
      'damaged-repository',
      `the repository is damaged: ${printed.at(-1) ?? 'restic says no more'}`,
      'Make a backup to another place now (--to). What can be saved of this one: https://restic.readthedocs.io/en/stable/077_troubleshooting.html',
    );
  }
  return error(
    'restic-failed',
    `restic ${verb} ended with status ${exitCode ?? 'unknown'}`,
    `It printed: ${printed.slice(-LAST_LINES).join('; ') || 'nothing'}`,
  );
}

function commandFailed(
  said: string,
  error: (code: string, what: string, hint: string) => SovereignError,
): SovereignError {
  const reasons = [...said.matchAll(/^sovereign: (.*)/gm)].map(([, reason]) => reason ?? '');
  return error(
    'cut-backup',
    `the backup was cut: ${reasons.at(-1) ?? 'the guest did not send all of it'}`,
    'Nothing of it was kept. Look at the service with sovereign status, then run the command again',
  );
}

/** The texts of restic's messages, which are JSON or plain lines. */
function messages(output: string): string[] {
  return output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => {
      try {
        const { message, error } = JSON.parse(line) as { message?: string; error?: { message?: string } };
        return (message ?? error?.message ?? '').trim();
      } catch {
        return line;
      }
    })
    .filter((line) => line !== '');
}
