import { TraceError } from '../../trace/errors.ts';
import type { DeviceView, HostView } from './host-view.ts';

export interface NamedDevice extends DeviceView {
  /** 'blk0': kind and number, in the order of the windows, as reports name it. */
  name: string;
}

export function nameDevices(devices: readonly DeviceView[]): NamedDevice[] {
  const used = new Map<string, number>();
  return [...devices]
    .filter(({ base }) => base > 0)
    .sort((a, b) => a.base - b.base)
    .map((device) => {
      const number = used.get(device.kind) ?? 0;
      used.set(device.kind, number + 1);
      return { ...device, name: `${device.kind}${number}` };
    });
}

/** The device called `text`: by name, base (0x2000000) or line (spi33). Throws E_USAGE with those there are. */
export function deviceNamed(view: HostView, text: string): NamedDevice {
  const devices = nameDevices(view.devices);
  const base = /^0x[0-9a-f]+$/i.test(text) ? Number(text) : NaN;
  const spi = Number(/^spi(\d+)$/i.exec(text)?.[1] ?? NaN);
  const found = devices.find((device) => device.name === text || device.base === base || device.spi === spi);
  if (found !== undefined) return found;
  throw new TraceError('E_USAGE', 'the domain has no such device', {
    expected: devices.map(({ name }) => name).join(', ') || 'one that is known (none is)',
    got: text,
  });
}
