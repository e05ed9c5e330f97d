import {
  GUEST_VIRTIO_MMIO_BASE,
  GUEST_VIRTIO_MMIO_SPI_FIRST,
  VIRTIO_MMIO_WINDOW,
} from '../../trace/virtio-mmio.ts';

/** Register windows of virtio-mmio slots: where they begin, and the GIC interrupt (INTID) of the first one. */
export interface SlotLayout {
  name: string;
  base: number;
  slots: number;
  firstSpi: number;
}

/**
 * Xen: xen/include/public/arch-arm.h, GUEST_VIRTIO_MMIO_BASE, and tools/libs/light/libxl_arm.c,
 * GUEST_VIRTIO_MMIO_SPI_FIRST. QEMU's machine virt: hw/arm/virt.c, VIRT_MMIO, interrupt 16 of the SPIs.
 */
export const LAYOUTS: readonly SlotLayout[] = [
  { name: 'xen', base: GUEST_VIRTIO_MMIO_BASE, slots: 32, firstSpi: GUEST_VIRTIO_MMIO_SPI_FIRST },
  { name: 'virt', base: 0x0a00_0000, slots: 32, firstSpi: 48 },
];

/** Slot whose window holds `address`; undefined if none does. */
export function slotAt(layout: SlotLayout, address: number): number | undefined {
  const slot = Math.floor((address - layout.base) / VIRTIO_MMIO_WINDOW);
  return slot >= 0 && slot < layout.slots ? slot : undefined;
}

export function layoutAt(address: number): SlotLayout | undefined {
  return LAYOUTS.find((layout) => slotAt(layout, address) !== undefined);
}
