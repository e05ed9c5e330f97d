import { REG_CONFIG, REG_INTERRUPT_STATUS, VIRTIO_MMIO_WINDOW } from '../../trace/virtio-mmio.ts';
import type { Unchecked } from './unchecked.ts';

const REG_VENDOR_ID = 0x00c;
const REG_DEVICE_FEATURES = 0x010;
const REG_DEVICE_FEATURES_SEL = 0x014;
const REG_QUEUE_SEL = 0x030;
const REG_QUEUE_NUM_MAX = 0x034;
const REG_STATUS = 0x070;
const REG_CONFIG_GENERATION = 0x0fc;
const INTERRUPT_CONFIG = 2;
const STATUS_NEEDS_RESET = 0x40;

/**
 * How much of one device's state follows from the accesses seen so far, and so which of its answers a model must
 * give too. A device is known from its reset on (VIRTIO 1.2, 4.2.2.2: a write of 0 to Status); what the host alone
 * decides is known once it was answered, and until it tells that its configuration changed.
 */
export class KnownState {
  /** Reset, with nothing missing since. */
  private known = false;
  private featuresSel = -1;
  private queueSel = -1;
  /** Bit n: DeviceFeatures was answered for selector n. */
  private features = 0;
  private queueNumMax = false;
  private readonly config = new Uint8Array(VIRTIO_MMIO_WINDOW - REG_CONFIG);
  private configKnown = true;
  private configChanged = false;

  /** `missing`: accesses may be missing before the first one, by more than that the trace has a beginning. */
  constructor(missing = false) {
    if (missing) this.hole();
  }

  /** Accesses may be missing here. */
  hole(): void {
    this.known = false;
    this.configKnown = false;
    this.featuresSel = -1;
    this.queueSel = -1;
  }

  write(offset: number, value: number): void {
    if (offset === REG_DEVICE_FEATURES_SEL) this.featuresSel = value;
    else if (offset === REG_QUEUE_SEL) this.queueSel = value;
    else if (offset === REG_STATUS && value === 0) {
      this.known = true;
      this.configKnown = true;
    }
  }

  /** Why a model need not answer this read as the device did; undefined if it must. */
  read(offset: number, size: number, value: number): Unchecked | undefined {
    if (size > 4) return 'wide';
    if (offset <= REG_VENDOR_ID) return undefined;
    if (offset === REG_INTERRUPT_STATUS) {
      if ((value & INTERRUPT_CONFIG) !== 0) this.configChanged = true;
      return undefined;
    }
    if (offset === REG_DEVICE_FEATURES) {
      const sel = this.featuresSel;
      if (sel < 0) return 'amid';
      if (sel > 1 || (this.features & (1 << sel)) !== 0) return undefined;
      this.features |= 1 << sel;
      return 'given';
    }
    if (offset === REG_QUEUE_NUM_MAX) {
      if (this.queueSel < 0) return 'amid';
      if (this.queueNumMax) return undefined;
      this.queueNumMax = true;
      return 'given';
    }
    if (offset >= REG_CONFIG || offset === REG_CONFIG_GENERATION) return this.readConfig(offset, size, value);
    if (!this.known) return 'amid';
    return offset === REG_STATUS && (value & STATUS_NEEDS_RESET) !== 0 ? 'needsReset' : undefined;
  }

  private readConfig(offset: number, size: number, value: number): Unchecked | undefined {
    // A host that counts changes has told of one, if not in this trace.
    if (offset === REG_CONFIG_GENERATION && value !== 0) this.configChanged = true;
    if (this.configChanged) return 'changed';
    if (!this.configKnown) return 'amid';
    if (offset === REG_CONFIG_GENERATION) return undefined;
    const bytes = this.config.subarray(offset - REG_CONFIG, offset - REG_CONFIG + size);
    if (bytes.every((seen) => seen === 1)) return undefined;
    bytes.fill(1);
    return 'given';
  }
}
