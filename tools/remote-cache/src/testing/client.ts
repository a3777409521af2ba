export const WRITE = 'w'.repeat(40);
export const READ = 'r'.repeat(40);
export const TOKENS = `# for tests\nwrite main ${WRITE}\nread fork ${READ}\n`;

/** What Nx's client does, without Nx. */
export function put(
  url: string,
  key: string,
  body: string | Buffer | ReadableStream,
  { token = WRITE, headers = {} }: { token?: string; headers?: Record<string, string> } = {},
): Promise<Response> {
  return fetch(`${url}/v1/cache/${key}`, {
    method: 'PUT',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/octet-stream',
      ...headers,
    },
    body,
    ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
  });
}

export const get = (url: string, key: string, token = READ): Promise<Response> =>
  fetch(`${url}/v1/cache/${key}`, { headers: { authorization: `Bearer ${token}` } });
