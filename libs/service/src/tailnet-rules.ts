import type { ServiceDefinition } from './definition.ts';

type Port = ServiceDefinition['ports'][number];

/** The guest's port that answers at the tailnet's: its own, or where TLS is taken in front of it, that. */
export const tailnetTarget = ({ guest, tailnet, tls }: Pick<Port, 'guest' | 'tailnet' | 'tls'>): number =>
  tls === undefined || tailnet === undefined ? guest : tailnet;

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
    .flatMap((port) =>
      port.tailnet === undefined
        ? []
        : [`tcp dport ${tailnetTarget(port)} ct original proto-dst ${port.tailnet} accept`],
    )
    .sort();
  if (open.join('\n') !== wanted.join('\n')) {
    return `open: ${open.join('; ') || 'nothing'}; declared: ${wanted.join('; ') || 'nothing'}`;
  }
  return rules.some((rule) => /^counter .*drop/.test(rule))
    ? undefined
    : 'what is not declared is not dropped';
}
