import { describe, expect, it } from 'vitest';
import { writeAccessJsonl } from '../sources/access-jsonl/write.ts';
import { ChainTracker } from './chain-tracker.ts';
import { IoreqSlots, STATE, TYPE } from './ioreq-slots.ts';
import { IoreqWatcher } from './ioreq-watcher.ts';
import type { TracedThread } from './syscall-tracer.ts';
import type { TraceeView } from './tracee-view.ts';

const BASE = 0x0200_0000;
const ARM64 = 0xc000_00b7;
const READ = 63;
const IOCTL = 29;
const EVTCHN_FD = 9;
const EVENTFD = 11;
const PORT = [40, 41];
const REMOTE = [17, 18];

/** Guest RAM from here on: a legacy queue of 4 entries, its used ring in the next page. */
const RAM = 0x4000_0000;
const USED = RAM + 0x1000;

/** A device model whose system calls are played as QEMU makes them (strace of a virtio-blk read under Xen). */
class Played {
  readonly page = new Uint8Array(4096);
  readonly words = new DataView(this.page.buffer);
  readonly memory = new Map<number, DataView>();
  readonly ram = new Uint8Array(0x4000);
  text = '';
  dropped = 0;
  now = 0;
  readonly tracker: ChainTracker;
  readonly watcher: IoreqWatcher;
  private readonly thread: TracedThread = { pid: 5, tid: 5, arch: ARM64, nr: -1, args: new Float64Array(6) };

  constructor(only?: ReadonlySet<number>) {
    for (const [vcpu, port] of REMOTE.entries()) this.words.setUint32(32 * vcpu + 24, port, true);
    this.tracker = new ChainTracker({
      read: (gpa, length) =>
        gpa >= RAM && gpa + length <= RAM + this.ram.length
          ? this.ram.subarray(gpa - RAM, gpa - RAM + length)
          : undefined,
      base: BASE,
      slots: 16,
      flush: (batch) => (this.text += writeAccessJsonl(batch)),
    });
    const view: TraceeView = {
      read: (address) => this.memory.get(address),
      descriptor: (fd) =>
        fd === EVTCHN_FD ? '/dev/xen/evtchn' : fd === EVENTFD ? 'anon_inode:[eventfd]' : '/dev/null',
      close: () => undefined,
    };
    this.watcher = new IoreqWatcher({
      ...(only === undefined ? {} : { only }),
      domid: 3,
      pages: [new IoreqSlots(this.page)],
      views: new Map([[5, view]]),
      remotePort: (port) => REMOTE[PORT.indexOf(port)],
      tracker: this.tracker,
      base: BASE,
      transportOf: new Map([
        [33, 0],
        [34, 1],
      ]),
      invalidate: () => this.dropped++,
      now: () => (this.now += 1),
      held: () => this.now / 4,
      begun: () => undefined,
    });
  }

  call(nr: number, args: readonly number[], result: number): void {
    this.thread.nr = nr;
    this.thread.args.set(args);
    this.watcher.entry(this.thread);
    this.watcher.exit(this.thread, result);
  }

  put(address: number, words: readonly number[]): void {
    this.memory.set(address, new DataView(new Uint32Array([...words, 0, 0, 0, 0]).buffer));
  }

  /** What Xen puts into the slot, and the device model's read of the event channel. */
  request(vcpu: number, address: number, value: number, isRead: boolean, type: number = TYPE.MMIO): void {
    const at = 32 * vcpu;
    this.words.setUint32(at, address, true);
    this.words.setUint32(at + 8, value, true);
    this.words.setUint32(at + 12, 0xdead_beef, true);
    this.words.setUint32(at + 20, 4, true);
    this.words.setUint8(at + 30, STATE.READY | (isRead ? 0x20 : 0));
    this.words.setUint8(at + 31, type);
    this.put(0x7f00, [PORT[vcpu]!]);
    this.call(READ, [EVTCHN_FD, 0x7f00, 4], 4);
  }

  answer(vcpu: number, value?: number): void {
    const at = 32 * vcpu;
    if (value !== undefined) this.words.setUint32(at + 8, value, true);
    this.words.setUint8(at + 30, (this.words.getUint8(at + 30) & 0xf0) | STATE.ANSWERED);
    this.put(0x7f10, [PORT[vcpu]!]);
    this.call(IOCTL, [EVTCHN_FD, 0x4_4504, 0x7f10], 0);
  }

  write(address: number, value: number, vcpu = 0): void {
    this.request(vcpu, BASE + address, value, false);
    this.answer(vcpu);
  }

  setLine(domid: number, spi: number, level: number): void {
    this.put(0x8000, [domid | (1 << 16), 0, 0x8100, 0]);
    this.put(0x8100, [0x8200, 0, 32, 0]);
    this.put(0x8200, [19, 0, spi, level]);
    this.call(IOCTL, [12, 0x10_5005, 0x8000], 0);
  }

  lines(): string[] {
    this.tracker.flush();
    return this.text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.replace(/,"i":\d+}$/, '}'));
  }
}

const u16 = (ram: Uint8Array, at: number, value: number): void => {
  new DataView(ram.buffer).setUint16(at, value, true);
};

describe('reading ioreqs out of system calls', () => {
  it('of one device only, where only that is wanted', () => {
    const dm = new Played(new Set([1]));
    dm.request(0, BASE + 0x70, 0, true);
    expect(dm.watcher.busy).toBe(false);
    dm.answer(0, 15);
    dm.setLine(3, 33, 1);
    dm.request(0, BASE + 0x270, 0, true);
    dm.answer(0, 7);
    dm.setLine(3, 34, 1);
    expect(dm.lines()).toEqual(['{"t":"R","a":33555056,"s":4,"v":7,"c":0}', '{"t":"I","irq":34,"l":1}']);
    expect(dm.watcher).toMatchObject({ ioreqs: 1, others: 1, lines: 1 });
  });

  it('reads and writes, by two vCPUs at a time, interrupt lines', () => {
    const dm = new Played();
    dm.request(0, BASE, 0, true);
    expect(dm.watcher.busy).toBe(true);
    dm.request(1, BASE + 0x14, 1, false);
    dm.answer(1);
    dm.answer(0, 0x7472_6976);
    expect(dm.watcher.busy).toBe(false);
    dm.setLine(3, 33, 1);
    dm.setLine(3, 33, 0);
    // Of another domain; of no device.
    dm.setLine(4, 33, 1);
    dm.setLine(3, 50, 1);
    expect(dm.lines()).toEqual([
      '{"t":"W","a":33554452,"s":4,"v":1,"c":1}',
      '{"t":"R","a":33554432,"s":4,"v":1953655158,"c":0}',
      '{"t":"I","irq":33,"l":1}',
      '{"t":"I","irq":33,"l":0}',
    ]);
    expect(dm.watcher.ioreqs).toBe(2);
    expect(dm.watcher.lines).toBe(2);
    expect(dm.watcher.busyMs / dm.watcher.heldMs).toBe(4);
  });

  it('what is no ioreq of a virtio device is not recorded', () => {
    const dm = new Played();
    // Answered by the kernel: the slot is empty.
    dm.put(0x7f00, [PORT[0]!]);
    dm.call(READ, [EVTCHN_FD, 0x7f00, 4], 4);
    dm.answer(0);
    dm.request(0, 0x3000_0000, 0, true);
    dm.answer(0);
    dm.request(1, 0, 0xffff_ffff, false, TYPE.INVALIDATE);
    dm.answer(1);
    // Another event channel; other descriptors; addresses that lead nowhere; a failed read.
    dm.put(0x7f00, [99]);
    dm.call(READ, [EVTCHN_FD, 0x7f00, 4], 4);
    dm.call(READ, [4, 0x7f00, 4], 4);
    dm.call(READ, [EVTCHN_FD, 0x1, 4], 4);
    dm.call(READ, [EVTCHN_FD, 0x7f00, 4], -11);
    dm.call(IOCTL, [EVTCHN_FD, 0x4_4504, 0x1], 0);
    dm.call(IOCTL, [12, 0x10_5005, 0x1], 0);
    expect(dm.lines()).toEqual([]);
    expect(dm.watcher.others).toBe(1);
    expect(dm.dropped).toBe(1);
    expect(dm.watcher.busy).toBe(false);
  });

  it('a kick that is put off: the buffer is taken when the eventfd is read, its use before the interrupt', () => {
    const dm = new Played();
    for (const [offset, value] of [
      [0x028, 4096],
      [0x030, 0],
      [0x038, 4],
      [0x03c, 4096],
      [0x040, RAM / 4096],
      [0x050, 0],
    ] as const)
      dm.write(offset, value);
    const before = dm.lines().length;
    // Between the answer and the device model's look at the ring the guest adds a buffer of 8 bytes.
    const view = new DataView(dm.ram.buffer);
    view.setUint32(0, RAM + 0x3000, true);
    view.setUint32(8, 8, true);
    dm.ram.set([0xaa, 0xbb], 0x3000);
    u16(dm.ram, 0x42, 1);
    dm.call(READ, [EVENTFD, 0x9000, 8], 8);
    expect(
      dm
        .lines()
        .slice(before)
        .map((line) => line.replace(/"b":.*/, '')),
    ).toEqual([
      '{"t":"M","a":1073754112,"n":8,"why":"out",',
      '{"t":"M","a":1073741824,"n":16,"why":"desc",',
      '{"t":"M","a":1073741888,"n":14,"why":"avail",',
    ]);
    u16(dm.ram, USED - RAM + 2, 1);
    dm.setLine(3, 33, 1);
    const [used, line] = dm.lines().slice(-2);
    expect(used).toMatch(
      /^{"t":"X","d":0,"u":\[{"q":0,"used":1073745920,"idx":1,"num":4,"el":\[{"id":0,"len":0,/,
    );
    expect(line).toBe('{"t":"I","irq":33,"l":1}');
  });
});
