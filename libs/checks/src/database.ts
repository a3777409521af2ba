import pg from 'pg';
import type { Database } from './contract.ts';

/** Milliseconds for a connection, and for an answer. */
const TIMEOUT = 20_000;

export interface Connection {
  url: string;
  password: string;
}

/** A connection that the caller ends. */
export async function connect({ url, password }: Connection): Promise<pg.Client> {
  const { hostname, port, username, pathname } = new URL(url);
  const client = new pg.Client({
    host: hostname,
    port: Number(port),
    user: decodeURIComponent(username),
    database: pathname.slice(1),
    password,
    connectionTimeoutMillis: TIMEOUT,
    query_timeout: TIMEOUT,
  });
  // A connection that breaks between two answers is told by the query.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
}

/** A database that every query reaches over a connection of its own. */
export function openDatabase(connection: () => Promise<Connection>): Database {
  return {
    async query(sql, values = []) {
      const client = await connect(await connection());
      try {
        const result = await client.query(sql, [...values]);
        return result.rows as Record<string, unknown>[];
      } finally {
        await client.end().catch(() => undefined);
      }
    },
  };
}
