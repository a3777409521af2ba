import { SovereignError } from '@sovereign/report';
import type { Host, ScriptResult } from './host.ts';
import { storePath } from './artifacts.ts';

/** Unpacks the launcher beside the one that runs: shells read their scripts as they go, so none is overwritten. */
export async function installAgent(host: Host, sha256: string): Promise<void> {
  if ((await host.read('agent/current'))?.toString().trim() === sha256) return;
  const folder = `agent/${sha256}`;
  const fresh = `${folder}.new`;
  if (!(await host.list('agent')).includes(sha256)) {
    await host.remove(fresh);
    const { status, stderr } = await host.sh('mkdir -p "$2" && tar -xf "$1" -C "$2"', [
      `${host.root}/${storePath(sha256)}`,
      `${host.root}/${fresh}`,
    ]);
    if (status !== 0) {
      throw new SovereignError({
        code: 'agent-not-installed',
        what: `the launcher cannot be unpacked: ${stderr.trim()}`,
        on: `${host.id}: ${host.root}/${folder}`,
        hint: 'Check the free space and the owner of this folder',
      });
    }
    await host.rename(fresh, folder);
  }
  await host.write('agent/current', `${sha256}\n`);
}

/** Runs a verb of the launcher; its exit status is a result. 127 where no launcher was ever installed. */
export function runAgent(
  host: Host,
  verb: 'start' | 'stop' | 'settle' | 'remove' | 'ask' | 'network',
  args: readonly string[],
  timeout: number,
): Promise<ScriptResult> {
  const script =
    'root=$1 verb=$2; shift 2; read -r agent <"$root/agent/current" || exit 127; ' +
    'exec sh "$root/agent/$agent/launch.sh" "$verb" "$root" "$@"';
  return host.sh(script, [host.root, verb, ...args], { timeout });
}

/** The launcher's own last message, without its name; empty where it said nothing. */
export const lastLine = (text: string): string =>
  (text.trim().split('\n').at(-1) ?? '').replace(/^launcher: /, '');
