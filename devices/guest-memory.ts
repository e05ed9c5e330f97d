/**
 * Guest memory as a device model sees it. Addresses are guest-physical byte addresses held in a double: exact
 * below 2^53, and what a descriptor may name beyond that (a grant reference, for one: bit 63) is no RAM anyway,
 * so the rounding of such an address cannot bring it back into a bank.
 */
export interface GuestMemory {
  /** A live view of [gpa, gpa+length): writes to it are writes to guest memory. Throws GuestFault if it is not RAM. */
  view(gpa: number, length: number): Uint8Array;
  /** Little endian, any alignment; each throws GuestFault where there is no RAM. */
  u16(gpa: number): number;
  u32(gpa: number): number;
  setU16(gpa: number, value: number): void;
  setU32(gpa: number, value: number): void;
}

export type FaultKind =
  /** An address that is not RAM. */
  | 'memory'
  /** A ring or descriptor that breaks the rules of virtqueues (VIRTIO 1.2, 2.7 and 2.8). */
  | 'descriptor'
  /** A chain that does not hold what the device type asks for. */
  | 'request';

/**
 * What the guest did wrong. Never leaves a device: the transport turns it into DEVICE_NEEDS_RESET
 * (VIRTIO 1.2, 2.1.2). Anything else thrown inside a model is a fault of ours and does leave it.
 */
export class GuestFault extends Error {
  override readonly name = 'GuestFault';
  readonly kind: FaultKind;

  constructor(kind: FaultKind, what: string) {
    super(what);
    this.kind = kind;
  }
}

/** One bank of guest RAM: `bytes[0]` is at guest-physical `base`. */
export interface RamBank {
  base: number;
  bytes: Uint8Array;
}

/** One 64-bit little-endian value as a double; exact below 2^53. */
export function u64(memory: GuestMemory, gpa: number): number {
  return memory.u32(gpa) + memory.u32(gpa + 4) * 0x1_0000_0000;
}

/**
 * Guest RAM in banks. A large bank costs only the pages that are touched: the system gives zeroed pages of a
 * new ArrayBuffer on first use. A view never spans two banks; adjoining RAM is to be given as one bank.
 */
export class RamBanks implements GuestMemory {
  readonly banks: readonly RamBank[];
  private readonly words: readonly DataView[];
  /** Index of the bank that was right last time: rings and buffers nearly always lie in the same one. */
  private last = 0;

  constructor(banks: readonly RamBank[]) {
    if (banks.length === 0) throw new RangeError('guest memory of no bank');
    const byBase = [...banks].sort((a, b) => a.base - b.base);
    for (const [i, bank] of byBase.entries()) {
      if (!Number.isSafeInteger(bank.base) || bank.base < 0)
        throw new RangeError(`bank ${i} at ${bank.base}: not an address`);
      const next = byBase[i + 1];
      if (next !== undefined && bank.base + bank.bytes.length > next.base)
        throw new RangeError(`banks ${i} and ${i + 1} overlap at ${next.base}`);
    }
    this.banks = byBase;
    this.words = byBase.map(({ bytes }) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  /** Offset within the bank `this.last`, which it sets. */
  private locate(gpa: number, length: number): number {
    const { banks } = this;
    let bank = banks[this.last]!;
    let offset = gpa - bank.base;
    if (offset >= 0 && offset + length <= bank.bytes.length) return offset;
    for (let i = 0; i < banks.length; i++) {
      bank = banks[i]!;
      offset = gpa - bank.base;
      if (offset >= 0 && offset + length <= bank.bytes.length) {
        this.last = i;
        return offset;
      }
    }
    throw new GuestFault('memory', `no RAM at 0x${gpa.toString(16)}+${length}`);
  }

  view(gpa: number, length: number): Uint8Array {
    const offset = this.locate(gpa, length);
    return this.banks[this.last]!.bytes.subarray(offset, offset + length);
  }

  u16(gpa: number): number {
    const offset = this.locate(gpa, 2);
    return this.words[this.last]!.getUint16(offset, true);
  }

  u32(gpa: number): number {
    const offset = this.locate(gpa, 4);
    return this.words[this.last]!.getUint32(offset, true);
  }

  setU16(gpa: number, value: number): void {
    const offset = this.locate(gpa, 2);
    this.words[this.last]!.setUint16(offset, value, true);
  }

  setU32(gpa: number, value: number): void {
    const offset = this.locate(gpa, 4);
    this.words[this.last]!.setUint32(offset, value, true);
  }
}
