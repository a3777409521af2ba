import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { inviteByAdminPage } from './invitation.ts';

const TOKEN = 'a token+/=&';

/** A stand-in for the admin page: what it was asked, and a server that knows the token and one account. */
async function page({ status }: { status?: number } = {}): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const { url, method, headers } = request;
      asked.push(`${method} ${url} ${headers.cookie ?? ''} ${body}`.trim());
      if (status !== undefined) response.writeHead(status).end();
      else if (url === '/vault/admin') {
        const good = new URLSearchParams(body).get('token') === TOKEN;
        if (good) response.setHeader('set-cookie', ['other=1', 'VW_ADMIN=abc.def; Path=/admin; HttpOnly']);
        response.writeHead(good ? 303 : 401, good ? { location: '/vault/admin' } : {}).end('a page');
      } else if (headers.cookie !== 'VW_ADMIN=abc.def') response.writeHead(401).end();
      else response.writeHead(body.includes('known@') ? 409 : 200).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/vault/`, asked };
}
const invite = (url: string | undefined, address: string, token = TOKEN) =>
  inviteByAdminPage({ url, token, address, service: 'vaultwarden' });

test('a login gives the cookie that the invitation is made with; the token is in one body alone', async () => {
  const { url, asked } = await page();
  expect(await invite(url, 'owner@example.org')).toBe(true);
  expect(asked).toEqual([
    'POST /vault/admin  token=a+token%2B%2F%3D%26',
    'POST /vault/admin/invite VW_ADMIN=abc.def {"email":"owner@example.org"}',
  ]);
});

test('who has an account already is not invited, and that is no error', async () => {
  const { url } = await page();
  expect(await invite(url, 'known@example.org')).toBe(false);
});

test('a page that refuses says why, and never the token', async () => {
  const { url, asked } = await page();
  const refused = invite(url, 'owner@example.org', 'another token');
  await expect(refused).rejects.toMatchObject({
    code: 'not-invited',
    what: 'owner@example.org was not invited: its admin page did not take the token (status 401)',
    hint: expect.stringContaining(`${url}admin`) as string,
  });
  await expect(refused).rejects.not.toThrow(/another token/);
  expect(asked).toHaveLength(1);
  const busy = await page({ status: 429 });
  await expect(invite(busy.url, 'a@b.c')).rejects.toThrow(/no more logins for some minutes/);
  await expect(invite('http://127.0.0.1:1/', 'a@b.c')).rejects.toThrow(/does not answer/);
  await expect(invite(undefined, 'a@b.c')).rejects.toThrow(/no address here/);
});
