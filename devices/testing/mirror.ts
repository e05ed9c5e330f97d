import { setTimeout as sleep } from 'node:timers/promises';
import type { RegisterBus } from '../device.ts';
import type { RamBanks } from '../guest-memory.ts';
import type { Qtest } from './qtest.ts';
import { VIRT_SLOT_BASE, VIRT_SLOT_LINE } from './qtest.ts';

interface Range {
  gpa: number;
  bytes: Buffer;
}

/** One access or event, with what the driver wrote to memory before it and the device until its end. */
interface Step {
  /** What happens outside the guest, instead of an access. */
  outside?: () => Promise<void> | void;
  offset: number;
  size: number;
  value: number;
  write: boolean;
  driver: Range[];
  device: Range[];
}

const PIECE = 64;

/**
 * Sits between a mock driver and a model and notes all that passes, so that the same can be done to a real
 * device model and every read and every byte of memory compared.
 */
export class Mirror implements RegisterBus {
  readonly steps: Step[] = [];
  private readonly bus: RegisterBus;
  private readonly ram: { base: number; bytes: Uint8Array };
  private readonly shadow: Buffer;

  constructor(bus: RegisterBus, ram: RamBanks) {
    this.bus = bus;
    this.ram = ram.banks[0]!;
    this.shadow = Buffer.from(this.ram.bytes);
  }

  /** What has changed in memory since the last call. */
  private changes(): Range[] {
    const found: Range[] = [];
    const { base, bytes } = this.ram;
    for (let at = 0; at < bytes.length; at += PIECE) {
      if (this.shadow.compare(bytes, at, at + PIECE, at, at + PIECE) === 0) continue;
      this.shadow.set(bytes.subarray(at, at + PIECE), at);
      found.push({ gpa: base + at, bytes: Buffer.from(bytes.subarray(at, at + PIECE)) });
    }
    return found;
  }

  read(offset: number, size: number): number {
    const driver = this.changes();
    const value = this.bus.read(offset, size);
    this.steps.push({ offset, size, value, write: false, driver, device: this.changes() });
    return value;
  }

  write(offset: number, size: number, value: number): void {
    const driver = this.changes();
    this.bus.write(offset, size, value);
    this.steps.push({ offset, size, value, write: true, driver, device: this.changes() });
  }

  /** Something that comes from outside the guest: to the model now, to QEMU when its turn comes. */
  outside(model: () => void, real: () => Promise<void> | void): void {
    const driver = this.changes();
    model();
    const device = this.changes();
    this.steps.push({ outside: real, offset: 0, size: 0, value: 0, write: true, driver, device });
  }

  /** Does the same to the device in slot 0 of a QEMU; gives the differences, readable. */
  async repeat(qemu: Qtest, levels: readonly number[]): Promise<string[]> {
    const wrong: string[] = [];
    await qemu.command('irq_intercept_in /machine/unattached/device[1]');
    // The board has put a device tree into its RAM.
    await qemu.command(`memset 0x${this.ram.base.toString(16)} ${this.ram.bytes.length} 0`);
    for (const [i, step] of this.steps.entries()) {
      for (const { gpa, bytes } of step.driver) await qemu.setMemory(gpa, bytes);
      const address = VIRT_SLOT_BASE + step.offset;
      if (step.outside !== undefined) await step.outside();
      else if (step.write) await qemu.write(address, step.size, step.value);
      else {
        const got = await qemu.read(address, step.size);
        if (got !== step.value)
          wrong.push(`step ${i} read 0x${step.offset.toString(16)}: model ${step.value}, QEMU ${got}`);
      }
      for (const range of step.device) if (wrong.length < 4) await settle(qemu, range, i, wrong);
      if (wrong.length > 3) break;
    }
    await this.compareAll(qemu, wrong);
    const edges = qemu.edges.filter(([line]) => line === VIRT_SLOT_LINE).map(([, level]) => level);
    const expected = levels.filter((level, i) => level !== (levels[i - 1] ?? 0));
    if (edges.join() !== expected.join())
      wrong.push(`interrupt: model ${expected.join()}, QEMU ${edges.join()}`);
    return wrong;
  }

  private async compareAll(qemu: Qtest, wrong: string[]): Promise<void> {
    const { base, bytes } = this.ram;
    const got = await qemu.memory(base, bytes.length);
    const at = got.findIndex((byte, i) => byte !== bytes[i]);
    if (at >= 0)
      wrong.push(`memory at the end, 0x${(base + at).toString(16)}: model ${bytes[at]!}, QEMU ${got[at]!}`);
  }
}

/** Waits until QEMU has written the same: it may complete a request after the access that started it. */
async function settle(qemu: Qtest, range: Range, i: number, wrong: string[]): Promise<void> {
  let got = await qemu.memory(range.gpa, range.bytes.length);
  for (let tries = 0; !got.equals(range.bytes) && tries < 100; tries++) {
    await sleep(5);
    got = await qemu.memory(range.gpa, range.bytes.length);
  }
  if (!got.equals(range.bytes))
    wrong.push(
      `step ${i} memory 0x${range.gpa.toString(16)}: model ${range.bytes.toString('hex')}, QEMU ${got.toString('hex')}`,
    );
}
