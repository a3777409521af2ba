import { SovereignError } from '@sovereign/report';

/** Time for one answer, in milliseconds. An argon2id hash on an emulated processor takes some seconds. */
const TIMEOUT = 60_000;

interface Invitation {
  /** Of the service, with a slash at its end. */
  url: string | undefined;
  /** Opens the admin page. */
  token: string;
  address: string;
  service: string;
}

/**
 * Invites by Vaultwarden's admin page: a login gives a cookie, with which the invitation is made
 * (dani-garcia/vaultwarden `src/api/admin.rs`: `post_admin_login`, `invite_user`). The token is in a request's body alone.
 * @returns false where there is an account of this address already
 * @throws SovereignError `not-invited`
 */
export async function inviteByAdminPage({ url, token, address, service }: Invitation): Promise<boolean> {
  const fail = (what: string, cause?: unknown): SovereignError =>
    new SovereignError({
      code: 'not-invited',
      what: `${address} was not invited: ${what}`,
      on: service,
      hint: `The service runs. Try sovereign up ${service} again, or invite at its page ${url ?? ''}admin`,
      cause,
    });
  if (url === undefined) throw fail('the service has no address here');
  const send = async (path: string, type: string, body: string, cookie = ''): Promise<Response> => {
    try {
      return await fetch(new URL(path, url), {
        method: 'POST',
        // Each on a connection of its own: one that the service closes meanwhile would fail a request that is not sent twice.
        headers: { 'content-type': type, connection: 'close', ...(cookie === '' ? {} : { cookie }) },
        body,
        // A login answers with a redirect, whose cookie is what counts.
        redirect: 'manual',
        signal: AbortSignal.timeout(TIMEOUT),
      });
    } catch (cause) {
      throw fail('the service does not answer', cause);
    }
  };
  const form = new URLSearchParams({ token }).toString();
  const login = await send('admin', 'application/x-www-form-urlencoded', form);
  await login.arrayBuffer();
  const cookie = login.headers
    .getSetCookie()
    .map((line) => line.split(';')[0] ?? '')
    .find((pair) => pair.startsWith('VW_ADMIN='));
  if (cookie === undefined) {
    throw fail(
      login.status === 429
        ? 'its admin page takes no more logins for some minutes'
        : `its admin page did not take the token (status ${login.status})`,
    );
  }
  const made = await send('admin/invite', 'application/json', JSON.stringify({ email: address }), cookie);
  await made.arrayBuffer();
  if (made.ok) return true;
  if (made.status === 409) return false;
  throw fail(`its admin page answered with status ${made.status}`);
}
