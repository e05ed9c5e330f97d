import { VIRTIO_DEVICE_NAMES } from '../../trace/virtio-mmio.ts';
import { everyLine, linesOf, parseNumber } from './aux-format.ts';
import type { AuxFormat } from './aux-format.ts';
import type { HostFindings } from './findings.ts';

/** `xl info`: `key : value` lines. */
export const xlInfo: AuxFormat = {
  name: 'xl-info',
  sniff: (head) => /^xen_major\s*:/m.test(head) && /^xen_caps\s*:/m.test(head),
  read(text, into) {
    const value = (key: string): string | undefined =>
      new RegExp(`^${key}\\s*:[ \\t]*(.*?)\\s*$`, 'm').exec(text)?.[1];
    into.xenVersion ??= value('xen_version');
    into.linuxVersion ??= value('release');
    into.machine ??= value('machine');
    // On Arm this is the frequency of the generic timer (xen/arch/arm/sysctl.c: cpu_khz).
    const mhz = Number(value('cpu_mhz'));
    if (mhz > 0) into.counterHz.xlInfo ??= Math.round(mhz * 1e6);
  },
};

/** `xl dmesg`. Its CNTVOFF lines are no clock relation: they are of a patched Xen and of one domain. */
export const xlDmesg: AuxFormat = {
  name: 'xl-dmesg',
  sniff(head) {
    const lines = linesOf(head);
    return lines.filter((line) => line.startsWith('(XEN) ')).length * 2 > lines.length;
  },
  read(text, into) {
    const khz = /Generic Timer IRQ:.*\bFreq: (\d+) KHz/.exec(text)?.[1];
    if (khz !== undefined) into.counterHz.dmesg ??= Number(khz) * 1000;
    into.xenVersion ??= /Xen version (\S+)/.exec(text)?.[1];
  },
};

/** `xl list -l`: a JSON list of domains. */
export const xlList: AuxFormat = {
  name: 'xl-list',
  sniff: (head) => /^\s*\[\s*\{\s*"domid"\s*:/.test(head) && head.includes('"config"'),
  read(text, into, file) {
    let domains: unknown;
    try {
      domains = JSON.parse(text);
    } catch {
      into.warnings.push(`${file}: is no whole JSON; not used`);
      return;
    }
    for (const domain of Array.isArray(domains) ? (domains as unknown[]) : []) {
      const domid = numberAt(domain, 'domid');
      if (domid === undefined || domid === 0) continue;
      into.guests.add(domid);
      const vcpus = numberAt(domain, 'config', 'b_info', 'max_vcpus');
      if (vcpus !== undefined && !into.vcpus.has(domid)) into.vcpus.set(domid, vcpus);
    }
  },
};

function numberAt(value: unknown, ...keys: string[]): number | undefined {
  let at = value;
  for (const key of keys) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = Object.hasOwn(at, key) ? (at as Record<string, unknown>)[key] : undefined;
  }
  return typeof at === 'number' && Number.isSafeInteger(at) && at >= 0 ? at : undefined;
}

const STORE_LINE = /^\/\S*\s*=\s*".*"\s*(\(.*\))?$/;

/** `xenstore-ls -f`: one `path = "value"` a line. Devices: tools/libs/light/libxl_virtio.c, libxl_disk.c. */
export const xenstoreDump: AuxFormat = {
  name: 'xenstore',
  sniff: (head) => everyLine(head, STORE_LINE),
  read(text, into) {
    const backends = new Map<string, Map<string, string>>();
    for (const line of text.split('\n')) {
      const field = /\/backend\/(virtio(?:_disk)?)\/(\d+)\/(\w+)\/(base|irq|type) = "([^"]*)"/.exec(line);
      // libxl keeps a copy of its own under /libxl.
      if (field !== null && line.startsWith('/local/')) {
        const key = `${field[1]!} ${field[2]!} ${field[3]!}`;
        const fields = backends.get(key) ?? new Map<string, string>();
        backends.set(key, fields.set(field[4]!, field[5]!));
      }
      const vcpu = /^\/local\/domain\/(\d+)\/cpu\/(\d+)(?: = |\/)/.exec(line);
      if (vcpu !== null) noteVcpu(into, Number(vcpu[1]), Number(vcpu[2]));
      const guest = /^\/local\/domain\/([1-9]\d*)\//.exec(line);
      if (guest !== null) into.guests.add(Number(guest[1]));
    }
    for (const [key, fields] of backends) addDevice(key, fields, into);
  },
};

/** A dump lists each vCPU, so the highest number tells how many there are, unless `xl list` said it. */
function noteVcpu(into: HostFindings, domid: number, vcpu: number): void {
  if (domid !== 0 && (into.vcpus.get(domid) ?? 0) <= vcpu && vcpu < 128) into.vcpus.set(domid, vcpu + 1);
}

function addDevice(key: string, fields: ReadonlyMap<string, string>, into: HostFindings): void {
  const [backend = '', domid] = key.split(' ');
  const base = parseNumber(fields.get('base'));
  // libxl writes 0 for the devices of `virtio=` whose place it chose itself: the trace tells where they are.
  if (base === undefined || base === 0) return;
  into.devices.push({
    domid: Number(domid),
    kind: backend === 'virtio_disk' ? 'blk' : virtioKind(fields.get('type') ?? ''),
    base,
    spi: parseNumber(fields.get('irq')) ?? 0,
  });
}

/** `virtio,deviceN`: N is the virtio device id in hexadecimal (xl.cfg(5), Linux's device-tree binding). */
function virtioKind(type: string): string {
  const id = /^virtio,device([0-9a-f]+)$/i.exec(type)?.[1];
  return (id === undefined ? undefined : VIRTIO_DEVICE_NAMES[Number.parseInt(id, 16)]) ?? 'unknown';
}

/** A domain's configuration file; what it says is in `xl list -l` too. */
export const xlConfig: AuxFormat = {
  name: 'xl-config',
  sniff: (head) => (head.match(/^(name|kernel|memory|vcpus|disk|virtio|extra)\s*=/gm) ?? []).length >= 3,
};
