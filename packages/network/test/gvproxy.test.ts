import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { gvproxyConfig } from '@sovereign/device';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { dhcpAnswer, dhcpRequest, framesOf, onTheWire, synFrame } from './frames.ts';
import { freePort, listenOnLoopback } from './ports.ts';
import { ask, endOf, runGvproxy, type Running } from './running.ts';

/**
 * Whether a packet that a guest sends there opens a connection to this machine's loopback address.
 * @param within milliseconds that it may take: much more where it should get there than where it should not
 */
async function reachesLoopback({ guests }: Running, to: string, within = 300): Promise<boolean> {
  let reached = false;
  const server = createServer((socket) => {
    reached = true;
    socket.destroy();
  });
  const port = await listenOnLoopback(server);
  const guest = connect(guests);
  // Often, as TCP itself does.
  const sending = setInterval(() => guest.write(onTheWire(synFrame(to, port))), 20);
  await vi.waitUntil(() => reached, { timeout: within, interval: 5 }).catch(() => undefined);
  clearInterval(sending);
  guest.destroy();
  server.close();
  return reached;
}

/** The address that a machine is given that asks for one, which it may have been given before. */
async function lease({ guests }: Running, mac: string, wanted: string): Promise<string> {
  const guest = connect(guests);
  let rest: Buffer = Buffer.alloc(0);
  let given: string | undefined;
  guest.on('data', (part) => {
    const came = framesOf(Buffer.concat([rest, part]));
    rest = came.rest;
    given ??= came.frames.map((frame) => dhcpAnswer(frame, mac)).find((address) => address !== undefined);
  });
  guest.write(onTheWire(dhcpRequest(mac, wanted)));
  await vi.waitUntil(() => given !== undefined, { timeout: 20_000, interval: 5 });
  guest.destroy();
  return given ?? '';
}

describe('gvproxy with our configuration', () => {
  let gvproxy: Running;
  beforeAll(async () => {
    gvproxy = await runGvproxy(gvproxyConfig());
  });
  afterAll(() => gvproxy.stop());

  test('keeps the lease of the seed', async () => {
    const { text } = await ask(gvproxy.api, '/services/dhcp/leases');
    expect(JSON.parse(text)).toMatchObject({
      '192.168.127.1': '5a:94:ef:e4:0c:dd',
      '192.168.127.2': '52:53:56:00:00:02',
    });
  });

  test('gives a guest its address again, and again, and nobody else’s', async () => {
    expect(await lease(gvproxy, '525356000002', '192.168.127.2')).toBe('192.168.127.2');
    expect(await lease(gvproxy, '525356000002', '192.168.127.2')).toBe('192.168.127.2');
    // The lease of another service.
    expect(await lease(gvproxy, '525356000002', '192.168.127.4')).toBe('192.168.127.2');
  });

  test('gives a machine that nobody knows no address that a service holds, one that runs or not', async () => {
    const given: string[] = [];
    for (let machine = 1; machine <= 5; machine++) {
      given.push(await lease(gvproxy, `52535600ff0${machine}`, `192.168.127.${machine + 1}`));
    }
    expect(new Set(given).size).toBe(given.length);
    for (const address of given) expect(Number(address.split('.').at(-1))).toBeGreaterThan(200);
    expect(JSON.parse((await ask(gvproxy.api, '/services/dhcp/leases')).text)).toMatchObject({
      '192.168.127.2': '52:53:56:00:00:02',
      '192.168.127.6': '52:53:56:00:00:06',
    });
  });

  test('opens and closes ports for the device itself', async () => {
    const forward = { local: `127.0.0.1:${await freePort()}`, remote: '192.168.127.2:5432', protocol: 'tcp' };
    const forwards = () => ask(gvproxy.api, '/services/forwarder/all');
    expect(await forwards()).toEqual({ status: 200, text: '[]' });
    const expose = () => ask(gvproxy.api, '/services/forwarder/expose', forward);
    expect(await expose()).toEqual({ status: 200, text: '' });
    expect(JSON.parse((await forwards()).text)).toEqual([forward]);
    expect(await expose()).toEqual({ status: 500, text: 'proxy already running' });
    expect(await ask(gvproxy.api, '/services/forwarder/unexpose', forward)).toMatchObject({ status: 200 });
    expect(await forwards()).toEqual({ status: 200, text: '[]' });
  });

  test.each([
    ['asks for its API', Buffer.from('GET /services/forwarder/all HTTP/1.0\r\n\r\n')],
    ['sends a frame that is shorter than its header', onTheWire(Buffer.alloc(13))],
    ['sends a frame that is larger than any packet', onTheWire(Buffer.alloc(4019))],
  ])('lets go of a guest that %s, gives it nothing, and serves the others', async (_what, bytes) => {
    const guest = connect(gvproxy.guests);
    let answer = '';
    guest.on('data', (part) => (answer += part.toString()));
    guest.write(bytes);
    await once(guest, 'close');
    expect(answer).toBe('');
    expect(await ask(gvproxy.api, '/services/forwarder/all')).toMatchObject({ status: 200 });
  });

  test('ends with a status of its own where it cannot listen', async () => {
    expect(await endOf(gvproxyConfig(), gvproxy.guests)).toBe(1);
  });

  test('refuses a configuration with a key that it does not know', async () => {
    expect(await endOf(`${gvproxyConfig()}  nats: {}\n`)).toBe(1);
  });

  test.each(['127.0.0.1', '0.0.0.0', '192.168.127.1', '192.168.127.254'])(
    'lets no guest reach the loopback address of the device through %s',
    async (to) => {
      expect(await reachesLoopback(gvproxy, to)).toBe(false);
    },
  );
});

// Without this, packets that are merely wrong would pass for packets that are kept out.
test('a configuration that leads to the loopback address is seen to do so', async () => {
  const gvproxy = await runGvproxy(`${gvproxyConfig()}  nat:\n    192.168.127.254: 127.0.0.1\n`);
  try {
    expect(await reachesLoopback(gvproxy, '192.168.127.254', 20_000)).toBe(true);
  } finally {
    await gvproxy.stop();
  }
});
