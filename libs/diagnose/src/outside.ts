import { lookup } from 'node:dns/promises';
import { connect } from 'node:net';

/** A server outside that a guest should be able to reach. */
export interface Target {
  host: string;
  port: number;
}

/** The same as this workstation sees it. */
export interface Outside extends Target {
  /** IPv4; undefined where this workstation does not know it. */
  address: string | undefined;
  /** Whether this workstation reaches it. */
  reached: boolean;
}

/** How this workstation looks outside; tests have their own. */
export interface Workstation {
  /** IPv4 address of a name. Rejects where there is none. */
  resolve(host: string): Promise<string>;
  /** Whether somebody takes connections there. */
  reaches(address: string, port: number): Promise<boolean>;
  /** Seconds since 1970. */
  clock(): number;
}

/** Milliseconds for one connection. */
const CONNECT = 3000;

export const thisWorkstation: Workstation = {
  resolve: async (host) => (await lookup(host, { family: 4 })).address,
  reaches: (address, port) =>
    new Promise((resolve) => {
      const socket = connect({ host: address, port, timeout: CONNECT });
      const end = (reached: boolean) => {
        socket.destroy();
        resolve(reached);
      };
      socket.once('connect', () => end(true));
      // Where this process stood still, a connection that came in time is told of only after this.
      socket.once('timeout', () => setImmediate(end, false));
      socket.once('error', () => end(false));
    }),
  clock: () => Date.now() / 1000,
};

/**
 * The first target that this workstation reaches, else the first whose name it knows, else the first: what a guest is
 * asked for should be there. Undefined where there is none.
 */
export async function findOutside(
  workstation: Workstation,
  targets: readonly Target[],
): Promise<Outside | undefined> {
  let known: Outside | undefined;
  for (const target of targets) {
    const address = await workstation.resolve(target.host).catch(() => undefined);
    if (address === undefined) continue;
    const reached = await workstation.reaches(address, target.port);
    if (reached) return { ...target, address, reached };
    known ??= { ...target, address, reached };
  }
  const [first] = targets;
  return known ?? (first && { ...first, address: undefined, reached: false });
}
