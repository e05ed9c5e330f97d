import { VIRTIO_DEVICE_NAMES } from '../../trace/virtio-mmio.ts';
import type { DeviceView } from '../probes/host-view.ts';

/** Paths and values of `xenstore-ls -f`. */
export type Store = ReadonlyMap<string, string>;

/**
 * `xenstore-ls -f`: `/path = "value"` lines, perhaps with ` . . . (n0,r1)` behind. Values are escaped by the tool
 * (tools/xenstore/xenstore_client.c, sanitise_value: \\" \\\\ \\n \\t \\r and \\ooo), so that no value makes a line.
 */
export function parseStore(text: string): Store {
  const store = new Map<string, string>();
  for (const line of text.split('\n')) {
    const found = /^(\/\S*)\s*= "((?:[^"\\]|\\.)*)"/.exec(line);
    if (found !== null) store.set(found[1]!, unescape(found[2]!));
  }
  return store;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };

function unescape(value: string): string {
  return value.replace(/\\([0-7]{3}|x[0-9a-fA-F]{2}|.)/g, (_, code: string) => {
    if (/^[0-7]{3}$/.test(code)) return String.fromCharCode(Number.parseInt(code, 8));
    if (code.length === 3) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    return ESCAPES[code] ?? code;
  });
}

/** Virtio-mmio devices of a domain, by base. Writers: tools/libs/light/libxl_virtio.c, libxl_disk.c. */
export function virtioDevices(store: Store, domid: number): DeviceView[] {
  const pattern = new RegExp(`^(/local/domain/\\d+/backend/(virtio\\w*)/${domid}/[^/]+)/base$`);
  const devices: DeviceView[] = [];
  for (const [path, value] of store) {
    const found = pattern.exec(path);
    const base = wholeNumber(value);
    // A slot that was given up, or never got its place, has base 0.
    if (found === null || base === undefined || base === 0) continue;
    const backend = found[1]!;
    const kind = kindOf(found[2]!, store.get(`${backend}/type`) ?? '');
    devices.push({ kind, base, spi: wholeNumber(store.get(`${backend}/irq`)) ?? 0, backend });
  }
  return devices.sort((a, b) => a.base - b.base);
}

/** `virtio,deviceN`: N is the virtio device id in hexadecimal (xl.cfg(5)). */
function kindOf(folder: string, type: string): string {
  if (folder === 'virtio_disk') return 'blk';
  const id = /^virtio,device([0-9a-f]{1,4})$/i.exec(type)?.[1];
  return (id === undefined ? undefined : VIRTIO_DEVICE_NAMES[Number.parseInt(id, 16)]) ?? 'unknown';
}

/** Decimal or 0x. */
export function wholeNumber(text: string | undefined): number | undefined {
  if (text === undefined || !/^(0x[0-9a-f]{1,16}|\d{1,16})$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}
