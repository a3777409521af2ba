/** What is known of a service's node in the tailnet; `tailnet` in `status --json` (docs/interface.md). */
export interface TailnetStatus {
  /** `unknown`: it is to be there, and the guest says nothing of it. */
  state:
    | 'off'
    | 'starting'
    | 'logged-out'
    | 'needs-login'
    /** Its key is over. */
    | 'expired'
    /** Logged in, and to be let in by who runs the tailnet. */
    | 'needs-approval'
    /** By hand, with `tailscale down`. */
    | 'stopped'
    | 'refused'
    | 'unreachable'
    | 'running'
    | 'unknown';
  /** IPv4. */
  address?: string;
  /** In MagicDNS without its last dot, or the host name. */
  name?: string;
  /** ISO 8601, when the node has to be logged in again, or had to; null: never. */
  expires?: string | null;
  /** The node's id with its control server. */
  id?: string;
  /** Where a person logs it in. */
  url?: string;
  /** HTTPS of its web service, where it has one; undefined where nothing was told yet. */
  https?: HttpsStatus;
  /** Why it is refused, not reached or still starting; of a node that runs: why its control server is not reached. */
  detail?: string;
}

/** What is known of HTTPS at a node; `https` in `status --json` (docs/interface.md). */
export interface HttpsStatus {
  /** `on`: a handshake was verified. `none`: there is no certificate. `bad`: there is one, and the handshake fails. */
  state: 'on' | 'none' | 'bad';
  /** That the certificate was verified for. */
  name?: string;
  /** ISO 8601, of the certificate. */
  expires?: string;
  /** Who brought the certificate. */
  from?: 'own' | 'tailnet';
  /** Why it is bad. */
  detail?: string;
}

/** Days before the end of a node's key from which it is warned of. */
const WARN_DAYS = 30;
/** The same of a certificate: those that programs renew have a third of their 90 days left by then. */
const CERTIFICATE_DAYS = 21;
/** Where Tailscale's HTTPS is switched on. */
export const HTTPS_PAGE = 'https://login.tailscale.com/admin/dns';
const DAY = 24 * 3600 * 1000;
/** Tailscale's list of a tailnet's nodes. */
export const MACHINES = 'https://login.tailscale.com/admin/machines';

/** Reads what a guest told, `STATE WORD…` (docs/formats.md, "Tailnet"); what is not understood is unknown. Pure. */
export function parseTailnet(told: string): TailnetStatus {
  const [state = '', ...words] = told.trim().split(' ');
  const [first, name, expires, id] = words;
  const detail = words.join(' ');
  switch (state) {
    case 'off':
    case 'logged-out':
    case 'needs-approval':
    case 'stopped':
      return { state };
    case 'expired': {
      const [when = '', url] = words;
      const end = new Date(when);
      return {
        state,
        ...(Number.isNaN(end.getTime()) ? {} : { expires: end.toISOString() }),
        ...(url === undefined ? {} : { url }),
      };
    }
    case 'needs-login':
      return { state, ...(first === undefined ? {} : { url: first }) };
    case 'starting':
    case 'refused':
    case 'unreachable':
      return { state, ...(detail === '' ? {} : { detail }) };
    case 'running': {
      if (first === undefined || name === undefined || expires === undefined) break;
      const end = expires === 'never' ? null : new Date(expires);
      if (end !== null && Number.isNaN(end.getTime())) break;
      const silence = words.slice(4).join(' ');
      return {
        state,
        address: first,
        name,
        expires: end === null ? null : end.toISOString(),
        ...(id === undefined ? {} : { id }),
        ...(silence === '' ? {} : { detail: silence }),
      };
    }
  }
  return { state: 'unknown', detail: told };
}

/** Reads what a guest told of HTTPS (docs/formats.md, "Tailnet"); undefined where it is not understood. Pure. */
export function parseHttps(told: string | undefined): HttpsStatus | undefined {
  const [state = '', name, expires = '', from] = (told ?? '').trim().split(' ');
  if (state === 'none') return { state };
  if (state === 'bad') return { state, detail: (told ?? '').trim().slice(state.length + 1) };
  const end = new Date(expires);
  if (state !== 'on' || name === undefined || Number.isNaN(end.getTime())) return undefined;
  if (from !== 'own' && from !== 'tailnet') return undefined;
  return { state, name, expires: end.toISOString(), from };
}

/** What a person should know or do about HTTPS; undefined where all is well. Pure. */
export function httpsAttention(
  { state, name, expires, from, detail }: HttpsStatus,
  service: string,
  secret: string,
  now = Date.now(),
): string | undefined {
  const give = `sovereign secrets set ${service} ${secret} <FILE, with certificate and key,`;
  switch (state) {
    case 'none':
      return `https: there is no certificate, and without one your other devices do not reach it: switch HTTPS on at ${HTTPS_PAGE}, or give one: ${give} does`;
    case 'bad':
      return `https: the handshake is not verified: ${detail ?? ''}; another certificate may be the cure: ${give} gives it`;
    case 'on': {
      const left = new Date(expires ?? '').getTime() - now;
      if (left > CERTIFICATE_DAYS * DAY) return undefined;
      const cure =
        from === 'own'
          ? `${give} gives the next`
          : 'the tailnet should have made the next by now, sovereign logs tells more';
      return `https: the certificate of ${name ?? '?'} ends on ${expires?.slice(0, 10) ?? '?'}: ${cure}`;
    }
  }
}

/** True where a node has to be logged in again within 30 days, or should have been. Pure. */
export const endsSoon = ({ state, expires }: TailnetStatus, now = Date.now()): boolean =>
  state === 'running' && typeof expires === 'string' && new Date(expires).getTime() - now <= WARN_DAYS * DAY;

/** What a person should know or do; undefined where all is well. Pure. */
export function tailnetAttention(
  status: TailnetStatus,
  service: string,
  now = Date.now(),
): string | undefined {
  const { state, expires, detail, url } = status;
  const login = `sovereign tailnet login ${service}`;
  const why = detail === undefined ? '' : `: ${detail}`;
  switch (state) {
    case 'needs-login':
      return `tailnet: the node is not logged in; ${url === undefined ? login : `visit ${url}, or run ${login}`}`;
    case 'logged-out':
      return `tailnet: the node is logged out; ${login} logs it in`;
    case 'expired':
      return `tailnet: the node's key expired${expires == null ? '' : ` on ${expires.slice(0, 10)}`}; ${url === undefined ? login : `visit ${url}, or run ${login}`}`;
    case 'needs-approval':
      return `tailnet: the node waits for approval; approve it where your tailnet's machines are listed (Tailscale's: ${MACHINES})`;
    case 'stopped':
      return `tailnet: the node was stopped by hand; ${login} starts it again`;
    case 'refused':
      return `tailnet: the auth key was refused${why}; make another one and run ${login} --key FILE`;
    case 'unreachable':
      return `tailnet: the control server is not reached${why}; the guest goes on trying`;
    case 'starting':
      return detail === undefined
        ? undefined
        : `tailnet: the node is known and reaches neither a relay nor another device${why}; sovereign diagnose ${service} tells more`;
    case 'running': {
      const silent =
        detail === undefined
          ? undefined
          : `tailnet: the control server is not reached${why}; devices that know the node reach it on`;
      if (typeof expires !== 'string' || !endsSoon(status, now)) return silent;
      const left = new Date(expires).getTime() - now;
      const day = expires.slice(0, 10);
      const when = left <= 0 ? `expired on ${day}` : `expires on ${day}, in ${Math.ceil(left / DAY)} days`;
      const ending = `tailnet: the node's key ${when}; ${login} renews it, and a tagged node's never ends`;
      return silent === undefined ? ending : `${ending}; ${silent}`;
    }
    default:
      return undefined;
  }
}
