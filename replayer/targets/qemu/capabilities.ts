import type { Socket } from 'node:net';
import { TraceError } from '../../../trace/errors.ts';
import type { DeviceKind } from '../../target.ts';
import { QemuProcess } from './process.ts';
import { Qmp, QmpError } from './qmp.ts';

/** QEMU's names of the devices that sit on a virtio bus. */
export const DEVICE_TYPES: Readonly<Record<DeviceKind, string>> = {
  blk: 'virtio-blk-device',
  net: 'virtio-net-device',
  console: 'virtio-serial-device',
  gpu: 'virtio-gpu-device',
};

export interface Capabilities {
  /** 'QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)' */
  name: string;
  /** Of each device that it has, properties and their default values (undefined where QEMU does not tell). */
  properties: ReadonlyMap<DeviceKind, ReadonlyMap<string, unknown>>;
}

const known = new Map<string, Promise<Capabilities>>();

/** What a QEMU can do, asked once in the life of this process. Rejects with E_TARGET. */
export function capabilities(binary: readonly string[], timeoutMs: number): Promise<Capabilities> {
  const key = binary.join('\0');
  let found = known.get(key);
  if (found === undefined) {
    found = ask(binary, timeoutMs);
    known.set(key, found);
    // A QEMU that could not be asked may be there the next time.
    found.catch(() => known.delete(key));
  }
  return found;
}

async function ask(binary: readonly string[], timeoutMs: number): Promise<Capabilities> {
  const qemu = new QemuProcess(
    binary,
    [...['-M', 'none', '-nodefaults', '-no-user-config', '-display', 'none'], ...monitorArguments(3)],
    ['pipe'],
  );
  const qmp = new Qmp(qemu.ends[0] as unknown as Socket);
  qemu.onEnd(() => {
    qmp.end(qemu.gone(''));
  });
  const timer = setTimeout(() => {
    qmp.end(
      new TraceError('E_TARGET', `${binary.join(' ')} does not answer`, {
        expected: `an answer within ${timeoutMs} ms`,
      }),
    );
  }, timeoutMs);
  try {
    const version = (await qmp.command('query-version')) as {
      qemu: { major: number; minor: number; micro: number };
      package: string;
    };
    const { major, minor, micro } = version.qemu;
    const properties = new Map<DeviceKind, ReadonlyMap<string, unknown>>();
    for (const [kind, type] of Object.entries(DEVICE_TYPES) as [DeviceKind, string][]) {
      const list = await propertiesOf(qmp, type);
      if (list !== undefined) properties.set(kind, list);
    }
    return {
      name: `QEMU ${major}.${minor}.${micro}${version.package === '' ? '' : ` (${version.package})`}`,
      properties,
    };
  } finally {
    clearTimeout(timer);
    await qemu.kill();
  }
}

async function propertiesOf(qmp: Qmp, type: string): Promise<ReadonlyMap<string, unknown> | undefined> {
  try {
    const list = (await qmp.command('device-list-properties', { typename: type })) as {
      name: string;
      'default-value'?: unknown;
    }[];
    return new Map(list.map((property) => [property.name, property['default-value']]));
  } catch (error) {
    if (error instanceof QmpError) return undefined;
    throw error;
  }
}

/** A QMP monitor on an inherited socket. */
export function monitorArguments(fd: number): string[] {
  return ['-chardev', `socket,id=qmp,fd=${fd}`, '-mon', 'chardev=qmp,mode=control'];
}
