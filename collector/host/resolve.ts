import type { DeviceFacts, HostFacts, Manifest } from '../../trace/manifest.ts';
import {
  GUEST_VIRTIO_MMIO_BASE,
  GUEST_VIRTIO_MMIO_SIZE,
  GUEST_VIRTIO_MMIO_SPI_FIRST,
  VIRTIO_DEVICE_NAMES,
  VIRTIO_MMIO_WINDOW,
} from '../../trace/virtio-mmio.ts';
import type { DeviceScan } from '../device-scan.ts';
import type { HostFindings } from './findings.ts';

export interface HostOptions {
  /** Frequency of the Arm generic timer in Hz: overrides what the files say. */
  counterHz?: number;
  domid?: number;
}

export function hostFacts(findings: HostFindings, options: HostOptions): HostFacts {
  const { counterHz: hz, xenVersion, linuxVersion, machine, deviceModel } = findings;
  const counterHz = options.counterHz ?? hz.dmesg ?? hz.xlInfo ?? hz.samples;
  const facts: HostFacts = {};
  if (xenVersion !== undefined) facts.xenVersion = xenVersion;
  if (linuxVersion !== undefined) facts.linuxVersion = linuxVersion;
  if (machine !== undefined) facts.machine = machine;
  if (counterHz !== undefined) facts.counterHz = counterHz;
  if (deviceModel !== undefined) facts.deviceModel = deviceModel;
  return facts;
}

/** Files that name different frequencies: at least one is of another host. */
export function counterDisagreement({ counterHz }: HostFindings): string | undefined {
  const named = Object.entries<number>(counterHz);
  const [first] = named;
  // xl info rounds to 1 kHz.
  const differ = named.some(([, hz]) => first !== undefined && Math.abs(hz - first[1]) > 1000);
  if (!differ) return undefined;
  return `the files name different counter frequencies: ${named.map(([from, hz]) => `${from} ${hz} Hz`).join(', ')}`;
}

/**
 * The domain that the trace is about: what the user says, else the device model's -xen-domid, else the only
 * guest that the toolstack lists, else the domain with most ioreqs and interrupt requests.
 */
export function tracedDomid(
  findings: HostFindings,
  scan: DeviceScan,
  options: HostOptions,
): number | undefined {
  if (options.domid !== undefined) return options.domid;
  const commands = new Set(findings.commandDomids);
  const [command] = commands;
  if (command !== undefined && commands.size === 1) return command;
  const busiest = busiestDomid(scan);
  if (commands.size === 0 && findings.guests.size === 1) return [...findings.guests][0];
  return busiest ?? command;
}

function busiestDomid(scan: DeviceScan): number | undefined {
  let best: number | undefined;
  // Above 0x7fef are no domains (xen/include/public/xen.h, DOMID_FIRST_RESERVED).
  for (let domid = 0; domid < 0x7ff0; domid++) {
    const rows = scan.domids[domid]!;
    if (rows > 0 && (best === undefined || rows > scan.domids[best]!)) best = domid;
  }
  return best;
}

/**
 * The domain's virtio devices: those that the toolstack recorded, and those that answered a read of their
 * DeviceID. Named kind and number, in the order of their windows.
 */
export function deviceFacts(
  findings: HostFindings,
  scan: DeviceScan,
  domid: number | undefined,
): DeviceFacts[] {
  const byBase = new Map<number, Omit<DeviceFacts, 'name'>>();
  for (const { domid: owner, kind, base, spi } of findings.devices) {
    if (owner !== domid || byBase.has(base)) continue;
    byBase.set(base, { kind, base, size: VIRTIO_MMIO_WINDOW, ...lineOf(base, spi), origin: 'xenstore' });
  }
  for (const [base, id] of scan.devices()) {
    const kind = VIRTIO_DEVICE_NAMES[id] ?? 'unknown';
    const listed = byBase.get(base);
    if (listed === undefined) {
      byBase.set(base, { kind, base, size: VIRTIO_MMIO_WINDOW, ...lineOf(base, 0), origin: 'events' });
    } else if (listed.kind === 'unknown') listed.kind = kind;
  }
  const used = new Map<string, number>();
  return [...byBase.values()]
    .sort((a, b) => a.base - b.base)
    .map((device) => {
      const number = used.get(device.kind) ?? 0;
      used.set(device.kind, number + 1);
      return { name: `${device.kind}${number}`, ...device };
    });
}

/** The SPI; in Xen's window it follows from the slot: the tools hand out both in step (libxl_arm.c). */
function lineOf(base: number, spi: number): { spi: number; spiDerived?: boolean } {
  const offset = base - GUEST_VIRTIO_MMIO_BASE;
  if (spi !== 0 || offset < 0 || offset >= GUEST_VIRTIO_MMIO_SIZE) return { spi };
  return { spi: GUEST_VIRTIO_MMIO_SPI_FIRST + Math.floor(offset / VIRTIO_MMIO_WINDOW), spiDerived: true };
}

/** Device models: the thread lists of the capture, else the tasks that answered ioreqs. */
export function deviceModelFacts(
  findings: HostFindings,
  scan: DeviceScan,
  tasks: Readonly<Record<string, string>>,
): Manifest['deviceModels'] {
  if (findings.threadLists.length > 0) {
    return findings.threadLists.map(({ threads, name }) => {
      const pid = Math.min(...threads);
      return {
        pid,
        name: name === '' ? (tasks[String(pid)] ?? '') : name,
        threads: [...threads].sort((a, b) => a - b),
      };
    });
  }
  return [...scan.answerers]
    .sort((a, b) => a - b)
    .map((pid) => ({ pid, name: tasks[String(pid)] ?? '', threads: [pid] }));
}
