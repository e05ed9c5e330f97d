/** EtherTypes that guests send (IEEE 802 numbers, IANA). */
const ETHER_TYPES: Readonly<Record<number, string>> = {
  0x0800: 'IPv4',
  0x0806: 'ARP',
  0x8100: 'VLAN',
  0x86dd: 'IPv6',
};
const IP_PROTOCOLS: Readonly<Record<number, string>> = { 1: 'ICMP', 6: 'TCP', 17: 'UDP', 58: 'ICMPv6' };

/** An Ethernet frame in a few words; `bytes` may be its beginning only. */
export function etherText(bytes: Uint8Array): string {
  if (bytes.length < 14) return 'too short for Ethernet';
  const type = (bytes[12]! << 8) | bytes[13]!;
  const name = ETHER_TYPES[type] ?? `type 0x${type.toString(16).padStart(4, '0')}`;
  const inside = type === 0x0800 ? protocol(bytes[23]) : type === 0x86dd ? protocol(bytes[20]) : '';
  return `${name}${inside} ${mac(bytes, 6)} to ${mac(bytes, 0)}`;
}

function protocol(number: number | undefined): string {
  return number === undefined ? '' : ` ${IP_PROTOCOLS[number] ?? `protocol ${number}`}`;
}

export function mac(bytes: Uint8Array, at: number): string {
  return [...bytes.subarray(at, at + 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
