import { guestAddress, guestMac, type ServiceDefinition } from '@sovereign/service';

/**
 * How guests are networked on a device (docs/formats.md, "Network plan"): by QEMU's user network, over vsock through
 * gvproxy, or by TAP devices on a bridge of ours.
 */
export type NetworkMode = 'user' | 'vsock' | 'tap';

/** What a device offers, and what was decided on it. */
export interface NetworkPlan {
  mode: NetworkMode;
  /** Name servers that guests ask. */
  dns: readonly string[];
}

/** The one network card of a virtual machine. */
export type MachineNetwork =
  | { mode: 'user'; forwards: Forward[] }
  | { mode: 'vsock'; cid: number }
  | { mode: 'tap'; name: string; mac: string };

/** A port of the device's 127.0.0.1 and the guest's port that it leads to. */
export interface Forward {
  host: number;
  guest: number;
}

/** An interface as the guest sets it up. */
export interface GuestInterface {
  /** With prefix length. */
  address: string;
  gateway?: string;
  /** The guest gives it this hardware address itself: not every VMM takes one with a TAP device. */
  mac?: string;
  /** The guest makes this interface itself and carries its frames to that vsock port of its host. */
  vsock?: { port: number; mtu: number };
}

/** Of the network that the guests of one device share. */
export const SUBNET_GATEWAY = '192.168.127.1';
/** Port on which gvproxy takes guests in. */
const VSOCK_PORT = 1024;
/** Of the network between gvproxy and the guests, in bytes; both sides have to agree. */
export const VSOCK_MTU = 4000;

export function machineNetwork(
  mode: NetworkMode,
  definition: Pick<ServiceDefinition, 'name' | 'net'>,
  forwards: Forward[],
  cid: number,
): MachineNetwork {
  switch (mode) {
    case 'user':
      return { mode, forwards };
    case 'vsock':
      return { mode, cid };
    case 'tap':
      return { mode, name: tapName(definition.name), mac: guestMac(definition) };
  }
}

/** eth0 of a guest. */
export function guestInterface(
  mode: NetworkMode,
  definition: Pick<ServiceDefinition, 'net'>,
): GuestInterface {
  // QEMU's user network has fixed addresses.
  if (mode === 'user') return { address: '10.0.2.15/24', gateway: '10.0.2.2' };
  const shared = {
    address: `${guestAddress(definition)}/24`,
    gateway: SUBNET_GATEWAY,
    mac: guestMac(definition),
  };
  if (mode === 'tap') return shared;
  return { ...shared, vsock: { port: VSOCK_PORT, mtu: VSOCK_MTU } };
}

/** Name of a service's TAP device; the kernel takes 15 characters. */
export const tapName = (service: string): string => `sov-${service}`.slice(0, 15);
