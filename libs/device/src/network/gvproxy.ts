import { guestAddress, guestMac, NET_INDEX } from '@sovereign/service';
import { SUBNET_GATEWAY, VSOCK_MTU } from './guest.ts';

/** Where the device keeps it, for the launcher to start gvproxy with. */
export const GVPROXY_CONFIG = 'net/gvproxy.yaml';

/** Of the gateway, on the side that guests see; gvisor-tap-vsock's own. */
const GATEWAY_MAC = '5a:94:ef:e4:0c:dd';

/**
 * gvproxy's configuration, the same on every device: a lease for every index that a service may have, so that one
 * more service is no reason to restart the network of the others. No names (`/etc/hosts` has them), no forwards (the
 * launcher asks for those), and no address that leads to the device's own loopback.
 */
export function gvproxyConfig(): string {
  const indexes = Array.from({ length: NET_INDEX.last - NET_INDEX.first + 1 }, (_, n) => NET_INDEX.first + n);
  return [
    'stack:',
    `  mtu: ${VSOCK_MTU}`,
    `  subnet: ${SUBNET_GATEWAY.replace(/\d+$/, '0')}/24`,
    `  gatewayIP: ${SUBNET_GATEWAY}`,
    `  gatewayMacAddress: ${GATEWAY_MAC}`,
    '  dhcpStaticLeases:',
    ...indexes.map((index) => `    ${guestAddress({ net: { index } })}: ${guestMac({ net: { index } })}`),
    '',
  ].join('\n');
}
