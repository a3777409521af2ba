import { randomUUID } from 'node:crypto';
import { fail, pass, type Check } from './contract.ts';

/** Time for one answer, in milliseconds. */
const TIMEOUT = 20_000;

const ask = async (base: Promise<URL>, path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(new URL(path, await base), { ...init, signal: AbortSignal.timeout(TIMEOUT) });

/** The answer to /alive has asked the database (dani-garcia/vaultwarden `src/api/web.rs`). */
const alive: Check = {
  name: 'vault.alive',
  async run({ endpoint }) {
    const { status } = await ask(endpoint('web'), 'alive');
    return status === 200 ? pass('/alive answers') : fail(`/alive answers with status ${status}, not 200`);
  },
};

const page: Check = {
  name: 'vault.page',
  async run({ endpoint }) {
    const answer = await ask(endpoint('web'), '');
    const content = await answer.text();
    return answer.ok && /<html/i.test(content)
      ? pass('the web vault has its page')
      : fail(`there is no page: status ${answer.status}, ${content.length} characters`);
  },
};

/** Nobody registers without an invitation. The address is of a domain that is reserved: no mail goes anywhere. */
const closed: Check = {
  name: 'vault.closed',
  async run({ endpoint }) {
    const { status } = await ask(endpoint('web'), 'identity/accounts/register/send-verification-email', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: `${randomUUID()}@stranger.invalid`, name: 'sovereign test' }),
    });
    return status === 400
      ? pass('a stranger cannot register')
      : fail(`a stranger who registers gets status ${status}, not 400`);
  },
};

export const vaultwardenChecks: readonly Check[] = [alive, page, closed];
