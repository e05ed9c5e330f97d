import { GuestFault } from '../../devices/guest-memory.ts';
import { GPU_HEADER_BYTES } from '../../devices/models/gpu-format.ts';
import type { Request } from './request.ts';

/** Words of a command behind its header, by name; 'rect' takes four, 'u64' two. VIRTIO 1.2, 5.7.6.8 and 5.7.6.9. */
type Field = string | { rect: string } | { u64: string };
const RECT: Field = { rect: 'rect' };
const CURSOR: readonly Field[] = ['scanout', 'x', 'y', 'padding', 'resource', 'hot_x', 'hot_y'];

const COMMANDS: Readonly<Record<number, readonly [name: string, ...fields: Field[]]>> = {
  0x100: ['GET_DISPLAY_INFO'],
  0x101: ['RESOURCE_CREATE_2D', 'resource', 'format', 'width', 'height'],
  0x102: ['RESOURCE_UNREF', 'resource'],
  0x103: ['SET_SCANOUT', RECT, 'scanout', 'resource'],
  0x104: ['RESOURCE_FLUSH', RECT, 'resource'],
  0x105: ['TRANSFER_TO_HOST_2D', RECT, { u64: 'offset' }, 'resource'],
  0x106: ['RESOURCE_ATTACH_BACKING', 'resource', 'entries'],
  0x107: ['RESOURCE_DETACH_BACKING', 'resource'],
  0x108: ['GET_CAPSET_INFO', 'capset'],
  0x109: ['GET_CAPSET', 'capset', 'version'],
  0x10a: ['GET_EDID', 'scanout'],
  0x10b: ['RESOURCE_ASSIGN_UUID', 'resource'],
  0x300: ['UPDATE_CURSOR', ...CURSOR],
  0x301: ['MOVE_CURSOR', ...CURSOR],
};

/** Lower-case names of commands, for conditions. */
export function gpuCommandNames(): [string, number][] {
  return Object.entries(COMMANDS).map(([type, [name]]) => [name.toLowerCase(), Number(type)]);
}

/** A command by name with its fields. `bytes`: what the driver sends, at least its beginning. */
export function gpuCommand(bytes: Uint8Array): Request {
  if (bytes.length < GPU_HEADER_BYTES) throw new GuestFault('request', `a command of ${bytes.length} bytes`);
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const type = words.getUint32(0, true);
  const [name, ...fields] = COMMANDS[type] ?? [`command 0x${type.toString(16)}`];
  const parts: string[] = [];
  let at = GPU_HEADER_BYTES;
  const next = (): number | undefined => {
    at += 4;
    return at <= bytes.length ? words.getUint32(at - 4, true) : undefined;
  };
  for (const field of fields) {
    if (typeof field === 'string') parts.push(`${field} ${shown(next())}`);
    else if ('u64' in field) {
      const low = next();
      const high = next();
      parts.push(
        `${field.u64} ${shown(low === undefined || high === undefined ? low : low + high * 2 ** 32)}`,
      );
    } else {
      const [x, y, width, height] = [next(), next(), next(), next()];
      parts.push(`${shown(width)} x ${shown(height)} at ${shown(x)},${shown(y)}`);
    }
  }
  const fence = (words.getUint32(4, true) & 1) === 0 ? '' : ` (fence ${words.getUint32(8, true)})`;
  return {
    text: `${name} ${parts.filter((part) => !part.startsWith('padding')).join(', ')}`.trim() + fence,
    type,
  };
}

function shown(value: number | undefined): string {
  return value === undefined ? 'missing' : String(value);
}
