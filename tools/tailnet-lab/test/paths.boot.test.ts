import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TailnetClient, type Path } from '../src/client.ts';
import { Lab } from '../src/lab.ts';
import type { Nat } from '../src/topology.ts';

let lab: Lab;
let home: TailnetClient;

beforeAll(async () => {
  lab = await Lab.start();
  home = new TailnetClient(lab.rooms, 'home', join(lab.folder, 'home-client'), lab.server.ca);
  const key = await lab.server.key({ reusable: true });
  await Promise.all([lab.laptop.up(lab.server.url, key), home.up(lab.server.url, key)]);
}, 900_000);

afterAll(() => lab.remove());

/** The daemons start anew, so that routers know nothing of them. */
async function pathBetween(homeNat: Nat, laptopNat: Nat, wanted: Path): Promise<Path> {
  await Promise.all([home.stop(), lab.laptop.stop()]);
  await lab.nat('home', homeNat);
  await lab.nat('laptop', laptopNat);
  await Promise.all([home.start(), lab.laptop.start()]);
  await Promise.all([home.running(), lab.laptop.running()]);
  return lab.laptop.path(await home.address(), wanted);
}

test.each([
  ['port-restricted', 'port-restricted', 'direct'],
  ['symmetric', 'port-restricted', 'relayed'],
  ['symmetric', 'full-cone', 'direct'],
  ['none', 'symmetric', 'direct'],
  ['udp-blocked', 'none', 'relayed'],
] as const)('home behind %s and the laptop behind %s: %s', async (homeNat, laptopNat, path) => {
  expect(await pathBetween(homeNat, laptopNat, path)).toBe(path);
});

test('two clients are two nodes, however often their daemons were started', async () => {
  expect((await lab.server.nodes()).map(({ given_name: name }) => name).sort()).toEqual(['home', 'laptop']);
});
