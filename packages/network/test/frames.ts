const GATEWAY = '5a94efe40cdd';
const GUEST = '525356000002';
const DHCP_COOKIE = 0x63825363;

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

/** What a client asks for by DHCP (RFC 2131), as an Ethernet frame to everybody: REQUEST of an address. */
export function dhcpRequest(mac: string, wanted: string): Buffer {
  const bootp = Buffer.alloc(240);
  Buffer.from([1, 1, 6]).copy(bootp);
  bootp.writeUInt32BE(Number(`0x${mac.slice(4)}`), 4);
  Buffer.from(mac, 'hex').copy(bootp, 28);
  bootp.writeUInt32BE(DHCP_COOKIE, 236);
  const payload = Buffer.concat([bootp, Buffer.from([53, 1, 3, 50, 4, ...octets(wanted), 255])]);
  const udp = Buffer.alloc(8);
  udp.writeUInt16BE(68, 0);
  udp.writeUInt16BE(67, 2);
  udp.writeUInt16BE(udp.length + payload.length, 4);
  const ip = Buffer.from([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
  ip.writeUInt16BE(ip.length + udp.length + payload.length, 2);
  ip.writeUInt16BE(checksum(ip), 10);
  return Buffer.concat([Buffer.from(`ffffffffffff${mac}0800`, 'hex'), ip, udp, payload]);
}

/** The address that a frame gives to a client by DHCP; undefined where it is another frame. */
export function dhcpAnswer(frame: Buffer, mac: string): string | undefined {
  const udp = 14 + 20;
  const bootp = udp + 8;
  const isAnswer =
    frame.length >= bootp + 240 &&
    frame.readUInt16BE(12) === 0x0800 &&
    frame[23] === 17 &&
    frame.readUInt16BE(udp) === 67 &&
    frame.subarray(bootp + 28, bootp + 34).toString('hex') === mac;
  return isAnswer ? [...frame.subarray(bootp + 16, bootp + 20)].join('.') : undefined;
}

/** The whole frames at the beginning of what came over a connection, and the rest. */
export function framesOf(bytes: Buffer): { frames: Buffer[]; rest: Buffer } {
  const frames: Buffer[] = [];
  let rest = bytes;
  while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16LE(0)) {
    const end = 2 + rest.readUInt16LE(0);
    frames.push(rest.subarray(2, end));
    rest = rest.subarray(end);
  }
  return { frames, rest };
}
