import { SovereignError } from '@sovereign/report';
import { configLine, type KernelConfig } from './config.ts';
import type { ConfigRequest } from './fragments.ts';

/** A symbol that may come out otherwise than asked, and why that is right. */
export interface Exception {
  symbol: string;
  /** The value that comes out instead; `n` also where the symbol is not there at all. */
  comesOut: string;
  reason: string;
}

export interface Problem {
  symbol: string;
  /** File and line of the request. */
  at: string;
  asked: string;
  /** Undefined where the final configuration does not mention the symbol. */
  got: string | undefined;
  /** What Kconfig asks for first, as written there; empty where nothing is asked or no such symbol exists. */
  dependsOn: string[];
  /** False where no Kconfig file knows the symbol. */
  known: boolean;
}

/** Looks a symbol up in the Kconfig sources; undefined where none defines it. */
export type KconfigLookup = (symbol: string) => { dependsOn: string[] } | undefined;

/**
 * Compares every request with what came out. Kconfig drops or changes requests whose dependencies are not met, and
 * `make` says nothing of it.
 */
export function checkConfig(
  requests: readonly ConfigRequest[],
  final: KernelConfig,
  exceptions: readonly Exception[],
  kconfig: KconfigLookup,
): Problem[] {
  const allowed = new Map(exceptions.map((exception) => [exception.symbol, exception]));
  return requests
    .filter(({ symbol, value }) => {
      const got = final.get(symbol) ?? 'n';
      return got !== value && allowed.get(symbol)?.comesOut !== got;
    })
    .map(({ symbol, value, fragment, line }) => {
      const found = kconfig(symbol);
      return {
        symbol,
        at: `${fragment}:${line}`,
        asked: value,
        got: final.get(symbol),
        dependsOn: found?.dependsOn ?? [],
        known: found !== undefined,
      };
    });
}

/** Exceptions that nothing needs any more: the request is gone, or comes out as asked. */
export function staleExceptions(
  requests: readonly ConfigRequest[],
  final: KernelConfig,
  exceptions: readonly Exception[],
): Exception[] {
  const asked = new Map(requests.map(({ symbol, value }) => [symbol, value]));
  return exceptions.filter(({ symbol }) => {
    const value = asked.get(symbol);
    return value === undefined || value === (final.get(symbol) ?? 'n');
  });
}

export function describeProblem({ symbol, at, asked, got, dependsOn, known }: Problem): string {
  const result = got === undefined ? 'it is not there' : configLine(symbol, got);
  const why = !known
    ? 'no Kconfig file defines it'
    : dependsOn.length === 0
      ? 'it depends on nothing; look for what selects it'
      : `depends on ${dependsOn.map((condition) => `(${condition})`).join(' && ')}`;
  return `${at}: asked ${configLine(symbol, asked)}, came out: ${result}; ${why}`;
}

/** @throws SovereignError `config-not-kept`, naming every symbol */
export function assertConfig(problems: readonly Problem[], stale: readonly Exception[]): void {
  if (problems.length > 0) {
    throw new SovereignError({
      code: 'config-not-kept',
      what: `the kernel configuration does not hold ${problems.length} of the requests:\n${problems
        .map((problem) => `    ${describeProblem(problem)}`)
        .join('\n')}\n`,
      on: problems.map(({ symbol }) => `CONFIG_${symbol}`).join(' '),
      hint: 'Ask for what they depend on, or take the request back; an exception needs a reason in allow.json',
    });
  }
  if (stale.length > 0) {
    throw new SovereignError({
      code: 'stale-exception',
      what: 'exceptions of the kernel configuration that nothing needs any more',
      on: stale.map(({ symbol }) => `CONFIG_${symbol}`).join(' '),
      hint: 'Remove them from allow.json',
    });
  }
}
