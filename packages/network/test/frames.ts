const GATEWAY = '5a94efe40cdd';
const GUEST = '525356000002';

/** The checksum of IPv4 and TCP (RFC 1071). */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const octets = (address: string): number[] => address.split('.').map(Number);

/** The first packet of a TCP connection from the guest 192.168.127.2, as an Ethernet frame to the gateway. */
export function synFrame(to: string, port: number): Buffer {
  const addresses = Buffer.from([...octets('192.168.127.2'), ...octets(to)]);
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(40_000, 0);
  tcp.writeUInt16BE(port, 2);
  tcp.writeUInt16BE(0x5002, 12);
  tcp.writeUInt16BE(0xffff, 14);
  const pseudo = Buffer.from([...addresses, 0, 6, 0, tcp.length]);
  tcp.writeUInt16BE(checksum(Buffer.concat([pseudo, tcp])), 16);
  const ip = Buffer.from([0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, ...addresses]);
  ip.writeUInt16BE(checksum(ip), 10);
  return Buffer.concat([Buffer.from(`${GATEWAY}${GUEST}0800`, 'hex'), ip, tcp]);
}

/** A frame as it goes over the connection of a guest: its length, 16 bits little-endian, before it. */
export function onTheWire(frame: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16LE(frame.length);
  return Buffer.concat([length, frame]);
}
