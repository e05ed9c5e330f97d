import type { GuestMemory } from '../../devices/guest-memory.ts';
import { GuestFault } from '../../devices/guest-memory.ts';
import { BLK_T_OUT, SECTOR } from '../../devices/models/block-format.ts';
import { parseBlockRequest } from '../../devices/models/block-request.ts';
import { queuePort } from '../../devices/models/console-format.ts';
import {
  NET_CTRL,
  NET_HEADER_BYTES,
  NET_RX,
  NET_SHORT_HEADER_BYTES,
} from '../../devices/models/net-format.ts';
import { gather, totalLength, type Chain } from '../../devices/queue/chain.ts';
import type { DeviceKind } from '../target.ts';
import { gpuCommand } from './gpu-commands.ts';
import type { Request } from './request.ts';
import { etherText } from './ether.ts';

const BLOCK_TYPES: Readonly<Record<number, string>> = {
  0: 'read',
  1: 'write',
  4: 'flush',
  8: 'get-id',
  11: 'discard',
  13: 'write-zeroes',
};

/** Names of request types as conditions and texts have them. */
export const REQUEST_NAMES: ReadonlyMap<string, number> = new Map(
  Object.entries(BLOCK_TYPES).map(([type, name]) => [name, Number(type)]),
);

/** Control messages of a multiport console (VIRTIO 1.2, 5.3.6.2). */
const CONSOLE_EVENTS = [
  ...['DEVICE_READY', 'PORT_ADD', 'PORT_REMOVE', 'PORT_READY', 'CONSOLE_PORT', 'RESIZE', 'PORT_OPEN'],
  'PORT_NAME',
];
/** VIRTIO 1.2, 5.1.6.5. */
const NET_CLASSES = ['RX', 'MAC', 'VLAN', 'ANNOUNCE', 'MQ', 'GUEST_OFFLOADS'];

/** Reads a chain as its device would. `longHeader`: net with VERSION_1 or MRG_RXBUF. Throws GuestFault as a device does. */
export function readRequest(
  memory: GuestMemory,
  kind: DeviceKind,
  queue: number,
  chain: Chain,
  longHeader: boolean,
): Request {
  switch (kind) {
    case 'blk':
      return blockRequest(memory, chain);
    case 'net':
      return netRequest(memory, queue, chain, longHeader);
    case 'console':
      return consoleRequest(memory, queue, chain);
    case 'gpu':
      return gpuCommand(outBytes(memory, chain, 4096));
  }
}

function blockRequest(memory: GuestMemory, chain: Chain): Request {
  const { type, sector, out, in: into } = parseBlockRequest(memory, chain);
  const length = totalLength(type === BLK_T_OUT ? out : into);
  const name = BLOCK_TYPES[type] ?? `type ${type}`;
  if (type > BLK_T_OUT) return { text: name, type, sector, length };
  const text = `${name} sector ${sector}, ${length / SECTOR} sectors (${length} bytes)`;
  return { text, type, sector, length };
}

function netRequest(memory: GuestMemory, queue: number, chain: Chain, longHeader: boolean): Request {
  if (queue === NET_RX) {
    const length = totalLength(chain.in);
    return { text: `receive buffer of ${length} bytes`, length };
  }
  const bytes = outBytes(memory, chain, 256);
  if (queue === NET_CTRL) {
    const [type = 0, command = 0] = bytes;
    return { text: `control ${NET_CLASSES[type] ?? `class ${type}`} command ${command}`, type };
  }
  const header = longHeader ? NET_HEADER_BYTES : NET_SHORT_HEADER_BYTES;
  const length = totalLength(chain.out) - header;
  if (length < 0) throw new GuestFault('request', 'a frame shorter than its header');
  const [flags = 0, gso = 0] = bytes;
  const marks = flags === 0 && gso === 0 ? '' : ` (flags ${flags}, gso ${gso})`;
  return { text: `frame of ${length} bytes${marks}: ${etherText(bytes.subarray(header))}`, length };
}

function consoleRequest(memory: GuestMemory, queue: number, chain: Chain): Request {
  const control = queue === 2 || queue === 3;
  if ((queue & 1) === 0) {
    const length = totalLength(chain.in);
    const of = control ? 'control messages' : `input of port ${queuePort(queue)}`;
    return { text: `buffer of ${length} bytes for ${of}`, length };
  }
  const bytes = outBytes(memory, chain, 128);
  if (!control) {
    const length = totalLength(chain.out);
    const more = length > bytes.length ? ` and ${length - bytes.length} bytes more` : '';
    return { text: `port ${queuePort(queue)} writes ${quoted(bytes)}${more}`, length };
  }
  if (bytes.length < 8) throw new GuestFault('request', `a control message of ${bytes.length} bytes`);
  const words = new DataView(bytes.buffer, bytes.byteOffset);
  const type = words.getUint16(4, true);
  const event = CONSOLE_EVENTS[type] ?? `event ${type}`;
  return { text: `${event} port ${words.getUint32(0, true)} value ${words.getUint16(6, true)}`, type };
}

/** What the driver sends, at most so many bytes. */
function outBytes(memory: GuestMemory, chain: Chain, most: number): Uint8Array {
  const bytes = new Uint8Array(Math.min(most, totalLength(chain.out)));
  gather(memory, chain.out, 0, bytes);
  return bytes;
}

/** Bytes as a JavaScript string would show them: nothing in it reaches a terminal as it is. */
export function quoted(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    if (byte === 10) text += '\\n';
    else if (byte === 13) text += '\\r';
    else if (byte === 34 || byte === 92) text += `\\${String.fromCharCode(byte)}`;
    else if (byte >= 32 && byte < 127) text += String.fromCharCode(byte);
    else text += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `"${text}"`;
}
