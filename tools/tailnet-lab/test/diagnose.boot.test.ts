import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { note } from '@sovereign/report';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certify } from '../src/certify.ts';
import { Lab } from '../src/lab.ts';
import { PATIENCE, SqlAtHome } from './service.ts';

/**
 * The layers of a diagnosis that only a real tailnet has, HTTPS among them; the others are packages/rootfs-sql's. One
 * guest for all, in this order.
 */
let lab: Lab;
let sql: SqlAtHome;

/** For conditions that come by themselves on a machine that has other work; in milliseconds. */
const PATIENT = { timeout: 180_000, interval: 1000 };

beforeAll(async () => {
  lab = await Lab.start();
  sql = await SqlAtHome.start(lab);
}, 900_000);

afterAll(() => lab.remove());

interface Told {
  ok: boolean;
  failed: string | null;
  layers: { name: string; result: string; evidence: string; cure?: string; fixed?: string }[];
}

async function diagnose(...flags: string[]): Promise<Told & { status: number }> {
  const { status, stdout, stderr } = await lab.sovereign([
    ...['diagnose', 'sql', '-s', 'local', '--json', ...flags],
  ]);
  try {
    return { status, ...(JSON.parse(stdout) as Told) };
  } catch {
    throw new Error(`diagnose ended with ${status}: ${stdout}${stderr}`);
  }
}

/** Waits until a layer is named: what breaks it may take a moment to be felt. */
async function expectNamed(layer: string, evidence: RegExp): Promise<Told> {
  let last: (Told & { status: number }) | undefined;
  await expect
    .poll(async () => {
      last = await diagnose();
      return `${last.status} ${last.failed ?? 'none'}: ${last.layers.at(-1)?.evidence ?? ''}`;
    }, PATIENT)
    .toMatch(new RegExp(`^3 ${layer}: .*${evidence.source}`));
  if (last === undefined) throw new Error('nothing was asked');
  return last;
}

async function expectWell(): Promise<Told> {
  let last: (Told & { status: number }) | undefined;
  await expect
    .poll(async () => {
      last = await diagnose();
      return `${last.failed ?? 'none'}: ${last.layers.at(-1)?.evidence ?? ''}`;
    }, PATIENT)
    .toMatch(/^none/);
  if (last === undefined) throw new Error('nothing was asked');
  return last;
}

/** Has what is broken mended. What stands behind it may take a moment longer. */
async function expectMended(layer: string, fixed: string): Promise<void> {
  const { failed, layers } = await diagnose('--fix');
  expect(
    layers.find(({ name }) => name === layer),
    JSON.stringify(layers, null, 1),
  ).toMatchObject({ result: 'ok', fixed: expect.stringContaining(fixed) as string });
  if (failed !== null) await expectWell();
}

test('every layer is asked and well, a ping to the laptop included', async () => {
  const { layers } = await expectWell();
  // A database is reached without.
  expect(layers.flatMap(({ name, result }) => (result === 'ok' ? [] : [name]))).toEqual(['https']);
  expect(layers.find(({ name }) => name === 'peers')?.evidence).toMatch(/^laptop: pong from laptop/);
});

test('tailscaled that is gone for good is named, and started again', async () => {
  await sql.inGuest('rc-service tailnet stop');
  await expectMended('tailscaled', 'tailscaled');
});

test('name servers that do not answer the guest are named, and set again', async () => {
  await sql.inGuest('echo nameserver 192.0.2.1 >/run/resolv.conf');
  await expectMended('lookup', 'name servers');
});

test('a firewall whose rules for the tailnet are not those of the definition', async () => {
  await sql.inGuest('nft flush chain inet sovereign tailnet');
  await expectNamed('port', /other rules for the tailnet/);
  await sql.inGuest('. /usr/lib/sovereign/common.sh; . /usr/lib/sovereign/firewall.sh; firewall open');
  await expectWell();
});

test('a tailnet in which nobody else is', async () => {
  await lab.laptop.stop();
  await expectNamed('peers', /(laptop does not answer|none is online: laptop)/);
  await lab.laptop.start();
  await lab.laptop.running();
  await expectWell();
});

test('an uplink that is cut, for the guest and its workstation', async () => {
  await lab.line('home', 'down');
  await expectNamed('uplink', /nothing outside is reached/);
  await lab.line('home', 'up');
  await expectWell();
});

describe('HTTPS with the owner’s certificate', () => {
  const NAME = 'vault.lab.test';
  const settings = '/run/sovereign/config';
  const file = (name: string) => join(lab.folder, 'https', name);
  const ca = () => file(`${NAME}/ca.pem`);
  const ask = (trusted: string, name: string) =>
    lab.run(
      'laptop',
      [
        ...['openssl', 's_client', '-connect', `${sql.node.address}:443`, '-CAfile', trusted],
        ...['-servername', name, '-verify_hostname', name, '-verify_return_error', '-quiet'],
      ],
      { input: 'GET / HTTP/1.0\r\n\r\n', timeout: PATIENCE },
    );

  /** Gives the guest a certificate of this name, as the owner's. */
  async function giveCertificate(name: string, days?: number): Promise<void> {
    await certify(file(name), name, days);
    const parts = ['server.pem', 'ca.pem', 'server.key'].map((part) => join(file(name), part));
    const pem = (await Promise.all(parts.map((part) => readFile(part, 'utf8')))).join('');
    await sql.inGuest(`umask 077; cat >${settings}/secrets/certificate`, pem);
  }

  /** A web server in the guest, and what the image of a web service says of it, stand in for a web service. */
  beforeAll(async () => {
    const conf = '/etc/sovereign/service.conf';
    await giveCertificate(NAME);
    await sql.inGuest(`
      (while :; do printf 'HTTP/1.0 200 OK\r\n\r\nhere it is' | nc -l -p 8000; done) </dev/null >/dev/null 2>&1 &
      cat ${conf} >/run/service.conf
      printf 'tailnet web 443 443\ntls web 443 8000 certificate domain\n' >>/run/service.conf
      mount --bind /run/service.conf ${conf}
      echo 'setting domain https://${NAME}/' >>${settings}/guest.conf
      . /usr/lib/sovereign/common.sh; . /usr/lib/sovereign/firewall.sh; firewall open
      rc-service tailnet restart`);
    await sql.isSameNode();
  });

  test('is told once a handshake was verified, with the end of the certificate', async () => {
    await expect
      .poll(async () => (await sql.told()).tailnet?.https, { timeout: 2 * PATIENCE, interval: 1000 })
      .toMatchObject({ state: 'on', name: NAME, from: 'own' });
    const end = new Date((await sql.told()).tailnet?.https?.expires ?? '').getTime();
    expect(Math.abs(end - Date.now() - 9 * 24 * 3600 * 1000)).toBeLessThan(3600 * 1000);
  });

  test('a client on the laptop verifies it through the tailnet, and gets the page', async () => {
    // Between two connections nobody listens in the guest for a moment.
    await expect
      .poll(() => ask(ca(), NAME), PATIENT)
      .toMatchObject({ status: 0, stdout: expect.stringContaining('here it is') as string });
    // The same client refuses what it cannot verify.
    expect((await ask(lab.server.ca, NAME)).status).not.toBe(0);
    expect((await ask(ca(), 'other.lab.test')).status).not.toBe(0);
  });

  test('the port behind it is not reached from the tailnet, in the clear', async () => {
    const asked = ['80', '8000'].map((port) =>
      lab.run('laptop', ['busybox', 'nc', '-w', '3', sql.node.address, port], {
        input: 'GET / HTTP/1.0\r\n\r\n',
      }),
    );
    expect((await Promise.all(asked)).map(({ stdout }) => stdout)).toEqual(['', '']);
  });

  test('what takes TLS is no root, and small', async () => {
    const status = await sql.inGuest('cat /proc/$(cat /run/tailscale/tls-pid)/status');
    expect(/^Uid:\t(\d+)/m.exec(status)?.[1]).toBe('65534');
    const [kib] = /VmRSS:\s+(\d+)/.exec(status)?.slice(1) ?? [];
    note(`TLS takes ${kib ?? '?'} KiB of the guest`);
    expect(Number(kib)).toBeLessThan(16_384);
  });

  describe('that is broken is named', () => {
    /** The firewall is that of a service without HTTPS again: else the layer below would be named. */
    beforeAll(() =>
      sql.inGuest(
        // In place: another file would not be the one that is mounted.
        `conf=$(sed '/^tailnet web/d' /run/service.conf) && echo "$conf" >/run/service.conf
        . /usr/lib/sovereign/common.sh; . /usr/lib/sovereign/firewall.sh; firewall open`,
      ),
    );

    test('not while it is well', async () => {
      const { layers } = await expectWell();
      expect(layers.find(({ name }) => name === 'https')?.evidence).toMatch(
        new RegExp(`^${NAME}: the handshake is verified`),
      );
    });

    test('where what takes TLS hangs, and it is started again', async () => {
      await sql.inGuest('kill -STOP $(cat /run/tailscale/tls-pid)');
      await expectMended('https', 'what takes TLS');
    });

    test('where the certificate is of another name', async () => {
      await sql.inGuest(`sed -i 's|${NAME}|other.lab.test|' ${settings}/guest.conf`);
      await expectNamed('https', /has another name: .*other\.lab\.test/);
    });

    test('where the certificate is over, with the cure', async () => {
      await giveCertificate(NAME, -1);
      await sql.inGuest(`sed -i 's|other.lab.test|${NAME}|' ${settings}/guest.conf
        echo '! settings' 1<>/run/tailscale/events`);
      const { layers } = await expectNamed('https', /is not of this time: .*expired/);
      expect(layers.at(-1)?.cure).toMatch(/^Give the next one: sovereign secrets set sql /);
      await expect
        .poll(async () => (await sql.told()).tailnet?.https, PATIENT)
        .toMatchObject({ state: 'bad', detail: expect.stringContaining('expired') as string });
    });

    test('where there is none', async () => {
      await sql.inGuest(`rm ${settings}/secrets/certificate`);
      await expectNamed('https', /there is no certificate/);
    });
  });

  test('the service learns the address in the tailnet, where its settings know none', async () => {
    const name = (await sql.told()).tailnet?.name ?? '';
    await giveCertificate(name);
    await sql.inGuest(
      `sed -i '/^setting domain/d' ${settings}/guest.conf; echo '! settings' 1<>/run/tailscale/events`,
    );
    const asked = `. /usr/lib/sovereign/common.sh; . /usr/lib/sovereign/settings.sh
      public_address domain; echo "$value"`;
    await expect
      .poll(async () => (await sql.inGuest(asked)).trim(), { timeout: 2 * PATIENCE, interval: 1000 })
      .toBe(`https://${name}`);
  });
});

/** Last: it takes the node away. */
test('a node that was logged out', async () => {
  const { status, stderr } = await lab.sovereign(['tailnet', 'logout', 'sql', '-s', 'local', '--yes']);
  expect(status, stderr).toBe(0);
  await expectNamed('login', /(logged out|nobody has logged)/);
});
