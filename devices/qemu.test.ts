import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { DeviceModel } from './device.ts';
import { MockDriver } from './driver/mock-driver.ts';
import { RamBanks } from './guest-memory.ts';
import { BlockDevice } from './models/block.ts';
import { MemoryDisk } from './models/disk.ts';
import { ConsoleDevice } from './models/console.ts';
import { GpuDevice } from './models/gpu.ts';
import { NetDevice } from './models/net.ts';
import { HostSocket } from './testing/host-socket.ts';
import { Mirror } from './testing/mirror.ts';
import { qemuMissing, Qtest } from './testing/qtest.ts';
import { RAM_BASE, VARIANTS, type Variant } from './testing/rig.ts';
import { VirtioMmio } from './transport/virtio-mmio.ts';

/**
 * The same driver does the same to a model and to the device model of a stock QEMU: each register read, each byte
 * of memory that the device wrote and the sequence of interrupts must be equal.
 */
const missing = qemuMissing();
if (missing !== undefined) console.warn(`SKIPPED: models beside QEMU's, because ${missing}`);

const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-qemu-'));
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

const RAM_BYTES = 256 << 10;
const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
/** Feature bits that the driver leaves aside: none, EVENT_IDX. */
const REFUSALS: readonly { refuse: readonly number[] }[] = [{ refuse: [] }, { refuse: [29] }];

interface Bed {
  driver: MockDriver;
  device: VirtioMmio;
  mirror: Mirror;
  levels: number[];
}

function bed(model: DeviceModel, variant: Variant): Bed {
  const levels: number[] = [];
  const ram = new RamBanks([{ base: RAM_BASE, bytes: new Uint8Array(RAM_BYTES) }]);
  const device = new VirtioMmio({
    version: variant === 'legacy' ? 1 : 2,
    packed: variant === 'packed',
    model,
    memory: ram,
    line: { set: (level) => levels.push(level) },
  });
  const mirror = new Mirror(device, ram);
  const driver = new MockDriver({ bus: mirror, memory: ram, base: RAM_BASE, length: RAM_BYTES });
  return { driver, device, mirror, levels };
}

async function beside({ mirror, levels }: Bed, variant: Variant, args: readonly string[]): Promise<string[]> {
  const qemu = new Qtest(variant !== 'legacy', args);
  try {
    return await mirror.repeat(qemu, levels);
  } finally {
    await qemu.stop();
  }
}

const plugged = (type: string, variant: Variant, more = ''): string[] => [
  '-device',
  `${type},bus=virtio-mmio-bus.0${variant === 'packed' ? ',packed=on' : ''}${more}`,
];

function block(type: number, sector = 0): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(sector, 8);
  return bytes;
}

/** Reads all of the configuration space, and every register that can be read. */
function lookAround(driver: MockDriver, configBytes: number): void {
  for (const name of [
    'MagicValue',
    'Version',
    'DeviceID',
    'VendorID',
    'QueueNumMax',
    'Status',
    'InterruptStatus',
  ])
    driver.get(name);
  driver.offered();
  for (let offset = 0; offset < configBytes; offset += 4) driver.config(offset, 4);
}

describe.skipIf(missing !== undefined).each(VARIANTS)('beside QEMU, %s:', (variant) => {
  it.each(REFUSALS)('block, refusing features $refuse', async ({ refuse }) => {
    const image = Buffer.alloc(1 << 20);
    for (let i = 0; i < image.length; i++) image[i] = (i >> 9) ^ i;
    const path = join(work, `disk-${variant}-${refuse.join('-')}`);
    writeFileSync(path, image);
    const disk = new MemoryDisk(image);
    const b = bed(new BlockDevice({ disk, serial: 'S-42' }), variant);
    const { driver } = b;
    lookAround(driver, 0x40);
    driver.setUp({ queues: [16], refuse });
    for (let round = 0; round < 12; round++) {
      const indirect = round % 2 === 1;
      driver.queue(0).interrupts(round % 3 === 2 ? 'none' : round % 4 === 1 ? { after: 2 } : 'all');
      driver.request(0, [block(0, 3 * round)], [512, 1024, 1], indirect);
      if (round % 3 !== 1) driver.interrupt();
      driver.request(0, [block(1, 100 + round), new Uint8Array(512).fill(round)], [1], indirect);
      driver.request(0, [block(8)], [20, 1], indirect);
      driver.interrupt();
    }
    driver.queue(0).interrupts('all');
    const segment = block(200 + 0 * 2 ** 32);
    segment.set([8, 0, 0, 0, 1, 0, 0, 0], 8);
    for (const bad of [block(0, 4096), block(99), block(14)]) driver.request(0, [bad], [512, 1]);
    driver.request(0, [block(4)], [1]);
    driver.request(0, [block(13), segment], [1]);
    driver.request(0, [block(11), segment], [1]);
    driver.interrupt();
    // Several at once that QEMU answers in order.
    for (let i = 0; i < 4; i++) driver.offer(0, [block(8)], [20, 1]);
    driver.kick(0);
    driver.queue(0).used();
    driver.interrupt();
    expect(
      await beside(b, variant, [
        '-drive',
        `if=none,id=d,format=raw,file=${path}`,
        ...plugged('virtio-blk-device', variant, ',drive=d,serial=S-42'),
      ]),
    ).toEqual([]);
    expect(readFileSync(path).equals(disk.bytes)).toBe(true);
  });

  it.each(REFUSALS)('console with two ports, refusing features $refuse', async ({ refuse }) => {
    const path = join(work, `console-${variant}-${refuse.join('-')}`);
    const out: Buffer[] = [Buffer.alloc(0), Buffer.alloc(0)];
    const model = new ConsoleDevice({
      ports: [{ console: true }, { console: false, name: 'agent' }],
      maxPorts: 3,
      backend: { output: (port, bytes) => (out[port] = Buffer.concat([out[port]!, bytes])) },
    });
    const b = bed(model, variant);
    const { driver, mirror } = b;
    lookAround(driver, 16);
    driver.setUp({ queues: new Array<number>(8).fill(16), refuse });
    const tell = (port: number, event: number, value: number): void => {
      const message = Buffer.alloc(8);
      message.writeUInt32LE(port, 0);
      message.writeUInt16LE(event, 4);
      message.writeUInt16LE(value, 6);
      driver.request(3, [message], []);
      driver.queue(2).used();
      driver.interrupt();
    };
    for (let i = 0; i < 10; i++) driver.offer(2, [], [32]);
    driver.kick(2);
    tell(0xffff_ffff, 0, 1);
    for (const [port, event] of [
      [0, 3],
      [1, 3],
      [0, 6],
      [1, 6],
      [7, 3],
    ] as const)
      tell(port, event, 1);
    for (let i = 0; i < 6; i++) {
      driver.queue(1).interrupts(i === 3 ? 'none' : 'all');
      driver.request(1, [Buffer.from(`line ${i}`), Buffer.from('\n')], [], i % 2 === 1);
      driver.request(5, [Buffer.from(`to the agent ${i}\n`)], []);
      driver.interrupt();
    }
    const socket = new HostSocket(`${path}.sock`);
    for (let i = 0; i < 3; i++) {
      driver.queue(0).interrupts('all');
      driver.offer(0, [], [8, 8]);
      driver.offer(0, [], [16]);
      driver.kick(0);
      const typed = Buffer.from(`typed at the console ${i}`).subarray(0, 10 + 7 * i);
      mirror.outside(
        () => model.input(0, typed),
        () => socket.send(typed),
      );
      driver.queue(0).used();
      driver.interrupt();
    }
    driver.set('Status', 0);
    try {
      expect(
        await beside(b, variant, [
          ...[
            '-chardev',
            `socket,id=c,server=on,wait=off,path=${path}.sock`,
            '-chardev',
            `file,id=e,path=${path}.agent`,
          ],
          ...plugged('virtio-serial-device', variant, ',max_ports=3'),
          ...['-device', 'virtconsole,chardev=c', '-device', 'virtserialport,chardev=e,name=agent'],
        ]),
      ).toEqual([]);
      // What the console wrote before anybody was connected is lost: sockets keep nothing.
      expect(readFileSync(`${path}.agent`).toString()).toBe(out[1]!.toString());
    } finally {
      socket.end();
    }
  });

  it.each([...REFUSALS, { refuse: [15] }, { refuse: [29, 15] }])(
    'net, refusing features $refuse',
    async ({ refuse }) => {
      const path = join(work, `net-${variant}-${refuse.join('-')}.sock`);
      const sent: Buffer[] = [];
      const model = new NetDevice({
        mac: MAC,
        backend: { transmit: (frame) => sent.push(Buffer.from(frame)) },
      });
      const b = bed(model, variant);
      const { driver, mirror } = b;
      lookAround(driver, 8);
      driver.setUp({ queues: [32, 16, 16], refuse });
      const socket = new HostSocket(path);
      const header = variant === 'legacy' && refuse.includes(15) ? 10 : 12;
      mirror.outside(
        () => undefined,
        () => socket.send(Buffer.alloc(0)),
      );
      const arrives = (to: Uint8Array, length: number): void => {
        const frame = Buffer.alloc(length, length);
        frame.set(to);
        const framed = Buffer.concat([Buffer.alloc(4), frame]);
        framed.writeUInt32BE(length);
        mirror.outside(
          () => model.receive(frame),
          () => socket.send(framed),
        );
      };
      for (let i = 0; i < 12; i++) driver.offer(0, [], [refuse.includes(15) ? 1600 : 300]);
      driver.kick(0);
      for (let i = 0; i < 4; i++) {
        driver.queue(0).interrupts('all');
        arrives(MAC, [60, 700, 1514, 64][i]!);
        driver.queue(0).used();
        driver.interrupt();
        driver.request(1, [new Uint8Array(header), Buffer.alloc(60 + i, 0x40 + i)], [], i % 2 === 1);
        driver.interrupt();
      }
      const other = Uint8Array.of(2, 0, 0, 0, 0, 9);
      for (const [kind, command, ...data] of [
        [0, 0, 0],
        [1, 0, 1, 0, 0, 0, ...other, 0, 0, 0, 0],
        [1, 0, 9, 0, 0, 0],
        [0, 3, 1],
        [0, 77, 1],
        [2, 0, 5, 0],
        [2, 0, 5, 0x10],
        [3, 0],
        [4, 0, 1, 0],
        [5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [9, 9],
      ]) {
        driver.request(
          2,
          [Uint8Array.of(kind!, command!), Uint8Array.from(data)].filter((d) => d.length > 0),
          [1],
        );
        driver.interrupt();
      }
      for (let i = 0; i < 4; i++) driver.offer(0, [], [1600]);
      driver.kick(0);
      for (const to of [other, MAC, Uint8Array.of(2, 0, 0, 0, 0, 8), Uint8Array.of(1, 0, 0, 0, 0, 1)])
        arrives(to, 90);
      driver.queue(0).used();
      driver.interrupt();
      driver.config(4, 4);
      try {
        expect(
          await beside(b, variant, [
            ...['-netdev', `stream,id=n,server=on,addr.type=unix,addr.path=${path}`],
            ...plugged(
              'virtio-net-device',
              variant,
              `,netdev=n,mac=${Buffer.from(MAC)
                .toString('hex')
                .replace(/(..)(?!$)/g, '$1:')}`,
            ),
          ]),
        ).toEqual([]);
        const framed = sent.map((frame) => {
          const length = Buffer.alloc(4);
          length.writeUInt32BE(frame.length);
          return Buffer.concat([length, frame]);
        });
        expect(socket.received).toEqual(Buffer.concat(framed));
      } finally {
        socket.end();
      }
    },
  );
});

describe.skipIf(missing !== undefined).each(['split', 'packed'] as const)('beside QEMU, %s:', (variant) => {
  it.each(REFUSALS)('gpu, and what its screen shows, refusing features $refuse', async ({ refuse }) => {
    const path = join(work, `gpu-${variant}-${refuse.join('-')}`);
    const model = new GpuDevice();
    const b = bed(model, variant);
    const { driver, mirror } = b;
    lookAround(driver, 16);
    driver.setUp({ queues: [16, 8], refuse });
    const backing = driver.arena.take(20480, 4096);
    for (let i = 0; i < 20480; i += 4) driver.arena.memory.setU32(backing.gpa + i, (i * 2654435761) >>> 0);
    const command = (type: number, words: readonly number[], room = 24, fence = 0): void => {
      const bytes = Buffer.alloc(24 + 4 * words.length);
      bytes.writeUInt32LE(type, 0);
      if (fence > 0) bytes.writeUInt32LE(1, 4);
      bytes.writeUInt32LE(fence, 8);
      for (const [i, word] of words.entries()) bytes.writeUInt32LE(word, 24 + 4 * i);
      driver.queue(0).interrupts('all');
      driver.request(0, [bytes], [room], fence % 2 === 1);
      driver.interrupt();
    };
    command(0x100, [], 408);
    command(0x101, [1, 2, 64, 48], 24, 1);
    command(0x101, [1, 2, 64, 48], 24, 2);
    command(0x101, [0, 2, 64, 48]);
    command(0x101, [3, 5, 64, 48]);
    command(0x101, [3, 2, 65535, 65535]);
    command(0x106, [1, 2, backing.gpa, 0, 10000, 0, backing.gpa + 10000, 0, 10480, 0]);
    command(0x106, [1, 1, backing.gpa, 0, 10000, 0]);
    command(0x105, [0, 0, 64, 48, 0, 0, 1, 0], 24, 3);
    command(0x105, [8, 9, 20, 10, 7000, 0, 1, 0], 24, 4);
    command(0x105, [50, 0, 20, 10, 0, 0, 1, 0]);
    command(0x105, [0, 0, 20, 10, 0, 0, 9, 0]);
    command(0x103, [4, 4, 8, 40, 0, 1]);
    command(0x103, [4, 4, 60, 40, 5, 1]);
    command(0x103, [4, 4, 60, 40, 0, 1]);
    command(0x104, [0, 0, 64, 48, 1, 0]);
    command(0x104, [0, 0, 65, 48, 1, 0]);
    command(0x102, [9, 0]);
    command(0x107, [9, 0]);
    command(0x1ff, [0, 0]);
    driver.request(1, [Buffer.alloc(56)], []);
    driver.interrupt();
    const monitor = new HostSocket(`${path}.qmp`);
    mirror.outside(
      () => undefined,
      async () => {
        await monitor.send(Buffer.from('{"execute":"qmp_capabilities"}\n'));
        await monitor.send(Buffer.from(`{"execute":"screendump","arguments":{"filename":"${path}.ppm"}}\n`));
        await monitor.until((text) => (text.match(/"return"/g) ?? []).length === 2);
      },
    );
    const screen = model.screen()!;
    command(0x107, [1, 0]);
    command(0x105, [0, 0, 64, 48, 0, 0, 1, 0]);
    command(0x102, [1, 0]);
    try {
      expect(
        await beside(b, variant, [
          ...['-qmp', `unix:${path}.qmp,server=on,wait=off`],
          ...plugged('virtio-gpu-device', variant),
        ]),
      ).toEqual([]);
      const ppm = readFileSync(`${path}.ppm`);
      const head = Buffer.from('P6\n60 40\n255\n');
      expect(ppm.subarray(0, head.length).toString()).toBe(head.toString());
      expect(ppm.subarray(head.length).equals(screen.rgb)).toBe(true);
    } finally {
      monitor.end();
    }
  });
});
