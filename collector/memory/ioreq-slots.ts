/** Where things lie in struct ioreq, 32 bytes a vCPU (Xen include/public/hvm/ioreq.h). */
const SLOT = 32;
const SLOTS = 128;

export const STATE = { READY: 1, INPROCESS: 2, ANSWERED: 3 } as const;
export const TYPE = { MMIO: 1, INVALIDATE: 8 } as const;

/** The vCPUs' slots of a page that Xen and a device model share: read anew each time. */
export class IoreqSlots {
  private readonly words: DataView;

  constructor(page: Uint8Array) {
    this.words = new DataView(page.buffer, page.byteOffset, page.byteLength);
  }

  /** The vCPU whose event channel has this port on the domain's side; -1: none. */
  vcpuOf(remotePort: number): number {
    for (let vcpu = 0; vcpu < SLOTS; vcpu++)
      if (this.words.getUint32(vcpu * SLOT + 24, true) === remotePort) return vcpu;
    return -1;
  }

  state(vcpu: number): number {
    return this.words.getUint8(vcpu * SLOT + 30) & 0xf;
  }

  isRead(vcpu: number): boolean {
    return (this.words.getUint8(vcpu * SLOT + 30) & 0x20) !== 0;
  }

  type(vcpu: number): number {
    return this.words.getUint8(vcpu * SLOT + 31);
  }

  /** Guest-physical; exact below 2^53. */
  address(vcpu: number): number {
    const at = vcpu * SLOT;
    return this.words.getUint32(at, true) + this.words.getUint32(at + 4, true) * 0x1_0000_0000;
  }

  size(vcpu: number): number {
    return this.words.getUint32(vcpu * SLOT + 20, true);
  }

  /** The value less what lies beyond its size, which some versions of Xen hand over; low and high word. */
  low(vcpu: number): number {
    const size = this.size(vcpu);
    const word = this.words.getUint32(vcpu * SLOT + 8, true);
    return size >= 4 ? word : (word & ((1 << (8 * size)) - 1)) >>> 0;
  }

  high(vcpu: number): number {
    return this.size(vcpu) === 8 ? this.words.getUint32(vcpu * SLOT + 12, true) : 0;
  }
}
