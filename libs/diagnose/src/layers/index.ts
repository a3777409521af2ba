import type { Layer } from '../contract.ts';
import { address } from './address.ts';
import { agent } from './agent.ts';
import { clock } from './clock.ts';
import { console } from './console.ts';
import { device } from './device.ts';
import { https } from './https.ts';
import { link } from './link.ts';
import { login } from './login.ts';
import { lookup } from './lookup.ts';
import { peers } from './peers.ts';
import { port } from './port.ts';
import { request } from './request.ts';
import { route } from './route.ts';
import { tailscaled } from './tailscaled.ts';
import { uplink } from './uplink.ts';
import { vm } from './vm.ts';

/** In the order of {@link layerNames}. */
export const layers: readonly Layer[] = [
  device,
  vm,
  console,
  agent,
  clock,
  link,
  address,
  route,
  lookup,
  uplink,
  tailscaled,
  login,
  peers,
  port,
  https,
  request,
];
