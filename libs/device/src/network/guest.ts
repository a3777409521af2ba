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

/** The network cards of a virtual machine: one, on this machine a second one to its neighbours. */
export type MachineNetwork =
  | { mode: 'user'; forwards: Forward[]; neighbours: NeighbourCard }
  | { mode: 'vsock'; cid: number }
  | { mode: 'tap'; name: string; mac: string };

/** A port of the device's 127.0.0.1 and the guest's port that it leads to. */
export interface Forward {
  host: number;
  guest: number;
}

/** A card on the network that the guests of this machine share. */
export interface NeighbourCard {
  /** Multicast group on this machine's loopback interface that carries its frames, `ADDRESS:PORT`. */
  group: string;
  mac: string;
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
  { cid, group }: { cid: number; group: string },
): MachineNetwork {
  switch (mode) {
    case 'user':
      return { mode, forwards, neighbours: { group, mac: guestMac(definition) } };
    case 'vsock':
      return { mode, cid };
    case 'tap':
      return { mode, name: tapName(definition.name), mac: guestMac(definition) };
  }
}

/** The interfaces of a guest, eth0 first. */
export function guestInterfaces(
  mode: NetworkMode,
  definition: Pick<ServiceDefinition, 'net'>,
): GuestInterface[] {
  const address = `${guestAddress(definition)}/24`;
  // QEMU's user network has fixed addresses, and nobody else is on it: neighbours meet on a card of their own.
  if (mode === 'user') return [{ address: '10.0.2.15/24', gateway: '10.0.2.2' }, { address }];
  const shared = { address, gateway: SUBNET_GATEWAY, mac: guestMac(definition) };
  if (mode === 'tap') return [shared];
  return [{ ...shared, vsock: { port: VSOCK_PORT, mtu: VSOCK_MTU } }];
}

/** Name of a service's TAP device; the kernel takes 15 characters. */
export const tapName = (service: string): string => `sov-${service}`.slice(0, 15);
