import {
  GUEST_VIRTIO_MMIO_BASE,
  GUEST_VIRTIO_MMIO_SPI_FIRST,
  VIRTIO_MMIO_WINDOW,
} from '../../trace/virtio-mmio.ts';
import type { DeviceModelView, DeviceView } from '../probes/host-view.ts';
import { optionFields } from './qemu-args.ts';

/** `-device virtio-KIND-device` (QEMU hw/virtio, hw/net, hw/block ...) by the kind's name here (virtio-mmio.ts). */
const KINDS: Readonly<Record<string, string>> = {
  blk: 'blk',
  net: 'net',
  serial: 'console',
  rng: 'rng',
  gpu: 'gpu',
  scsi: 'scsi',
  '9p': '9p',
  balloon: 'balloon',
  keyboard: 'input',
  mouse: 'input',
  tablet: 'input',
};

/**
 * What each virtio-mmio window of a domain is, where its QEMU was started with a place for it
 * (bus=virtio-mmio-bus.N: window N, hw/virtio/virtio-mmio.c). Without a place QEMU chooses one, which is not guessed.
 */
export function qemuDevices(models: readonly DeviceModelView[]): DeviceView[] {
  const devices: DeviceView[] = [];
  for (const { commandLine, kind: model, pid } of models) {
    if (model !== 'qemu') continue;
    const words = commandLine.split(' ');
    words.forEach((word, i) => {
      if (word !== '-device' && word !== '--device') return;
      const fields = optionFields(words[i + 1] ?? '');
      const name = /^(?:vhost-user-|virtio-)(\w+)-device$/.exec(fields.get('') ?? '')?.[1] ?? '';
      const slot = /^virtio-mmio-bus\.(\d{1,3})$/.exec(fields.get('bus') ?? '')?.[1];
      const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
      if (kind === undefined || slot === undefined) return;
      devices.push({
        kind,
        base: GUEST_VIRTIO_MMIO_BASE + Number(slot) * VIRTIO_MMIO_WINDOW,
        spi: GUEST_VIRTIO_MMIO_SPI_FIRST + Number(slot),
        backend: `process ${pid}`,
      });
    });
  }
  return devices;
}

/**
 * The toolstack's list with the device models' own knowledge: what is behind a window its device model knows best
 * (a node that xl calls a disk may be served as anything).
 */
export function mergeDevices(listed: readonly DeviceView[], known: readonly DeviceView[]): DeviceView[] {
  const byBase = new Map(listed.map((device) => [device.base, device]));
  for (const device of known) {
    const old = byBase.get(device.base);
    byBase.set(device.base, old === undefined ? device : { ...old, kind: device.kind });
  }
  return [...byBase.values()].sort((a, b) => a.base - b.base);
}
