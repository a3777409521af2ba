import type { ServiceDefinition } from './definition.ts';

/**
 * Compares the firewall's rules for what comes out of the tunnel, as `nft list chain` prints them, with what the
 * definition declares. Pure.
 * @returns what is wrong; undefined where nothing is
 */
export function tailnetRulesFault(
  { ports }: Pick<ServiceDefinition, 'ports'>,
  printed: readonly string[],
): string | undefined {
  const rules = printed.map((line) => line.trim());
  const open = rules.filter((rule) => rule.endsWith('accept') && !rule.includes('echo-request')).sort();
  const wanted = ports
    .flatMap(({ guest, tailnet }) =>
      tailnet === undefined ? [] : [`tcp dport ${guest} ct original proto-dst ${tailnet} accept`],
    )
    .sort();
  if (open.join('\n') !== wanted.join('\n')) {
    return `open: ${open.join('; ') || 'nothing'}; declared: ${wanted.join('; ') || 'nothing'}`;
  }
  return rules.some((rule) => /^counter .*drop/.test(rule))
    ? undefined
    : 'what is not declared is not dropped';
}
