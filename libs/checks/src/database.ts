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

/** PostgreSQL's word for a password that is not the one. */
const WRONG_PASSWORD = '28P01';

/**
 * The password that the server takes; while one is being changed there are two. Where there is one alone, it is that,
 * and the server is not asked.
 * @param candidates the newest first
 */
export async function passwordThatWorks(url: string, candidates: readonly string[]): Promise<string> {
  const [newest = '', ...older] = candidates;
  if (older.length === 0) return newest;
  for (const password of candidates) {
    try {
      await (await connect({ url, password })).end();
      return password;
    } catch (thrown) {
      if ((thrown as { code?: unknown }).code !== WRONG_PASSWORD) break;
    }
  }
  return newest;
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
