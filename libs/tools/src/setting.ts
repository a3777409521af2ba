import { SovereignError } from '@sovereign/report';

/** Ways to run the build tools: entered as a tool root on this machine, or in a container of a Docker engine. */
export const toolWays = ['root', 'docker'] as const;
export type ToolWay = (typeof toolWays)[number];

/** The variable that names the way, in the environment or in the checkout's `.env.local`. */
export const TOOLS_VARIABLE = 'SOVEREIGN_TOOLS';

/** The way that is set; without one, the tool root, which only Linux has. Both make the same bytes. */
export function toolWay(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): ToolWay {
  const name = env[TOOLS_VARIABLE] ?? '';
  if (name === '') return platform === 'linux' ? 'root' : 'docker';
  const way = toolWays.find((known) => known === name);
  if (way !== undefined) return way;
  throw new SovereignError({
    code: 'bad-setting',
    what: `${TOOLS_VARIABLE} names no way to run the build tools: ${name}`,
    on: '.env.local, or the environment',
    hint: `Write one of ${toolWays.join(', ')}`,
  });
}
