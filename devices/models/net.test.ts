import { describe, expect, it } from 'vitest';
import { ready, rig, VARIANTS, type Rig, type Variant } from '../testing/rig.ts';
import { NetDevice } from './net.ts';
import { NET_CTRL, NET_F_CTRL_MAC_ADDR, NET_F_MRG_RXBUF, NET_RX, NET_TX } from './net-format.ts';

const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const BROADCAST = new Uint8Array(6).fill(0xff);
const QUEUES = [8, 8, 8];

/** A frame to `to`, of `length` bytes numbered from 0 after the addresses. */
function frame(to: Uint8Array, length = 60): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, i) => i);
  bytes.set(to);
  return bytes;
}

function net(
  variant: Variant,
  refuse: number[] = [],
): Rig & { model: NetDevice; sent: Uint8Array[]; readyCalls: number[] } {
  const sent: Uint8Array[] = [];
  const readyCalls: number[] = [];
  const model = new NetDevice({
    mac: MAC,
    backend: { transmit: (bytes) => sent.push(bytes), receiveReady: () => readyCalls.push(1) },
  });
  const made = rig(model, variant);
  made.driver.setUp({ queues: QUEUES, refuse: [29, ...refuse] });
  return { ...made, model, sent, readyCalls };
}

const control = ({ driver }: Rig, kind: number, command: number, ...data: number[]): number => {
  const [used] = driver.request(
    NET_CTRL,
    [Uint8Array.of(kind, command), Uint8Array.from(data)].filter((b) => b.length > 0),
    [1],
  );
  return driver.written(used!)[0]!;
};

describe.each(VARIANTS)('net over %s', (variant) => {
  it('sends frames without their header, however they are cut', () => {
    const { driver, sent, device } = net(variant);
    const bytes = frame(BROADCAST, 100);
    driver.request(NET_TX, [new Uint8Array(12), bytes], []);
    const whole = new Uint8Array(112);
    whole.set(bytes, 12);
    driver.request(NET_TX, [whole.subarray(0, 40), whole.subarray(40)], [], true);
    expect(sent).toEqual([bytes, bytes]);
    driver.request(NET_TX, [new Uint8Array(11)], []);
    expect(device.fault).toBe('a frame shorter than its header');
  });

  it('spreads a frame over mergeable buffers, all of them used at once', () => {
    const { driver, model, readyCalls } = net(variant);
    const bytes = frame(MAC, 200);
    expect(model.receive(bytes), 'no buffer yet').toBe(false);
    for (let i = 0; i < 4; i++) driver.offer(NET_RX, [], [64, 16]);
    expect(driver.queue(NET_RX).wantsKick(), 'the device waits for buffers').toBe(true);
    driver.kick(NET_RX);
    expect(readyCalls).toEqual([1]);
    expect(model.receive(bytes)).toBe(true);
    const used = driver.queue(NET_RX).used();
    expect(used.map((u) => u.length)).toEqual([80, 80, 52]);
    const all = used.flatMap((u) => [...driver.written(u)]);
    expect(all.slice(0, 12)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
    expect(all.slice(12)).toEqual([...bytes]);
    driver.offer(NET_RX, [], [16]);
    expect(driver.queue(NET_RX).wantsKick(), 'it had enough').toBe(false);
    // One buffer is left: too little for this frame, enough for a small one, and none is lost in between.
    expect(model.receive(bytes)).toBe(false);
    expect(model.receive(frame(MAC, 60))).toBe(true);
    expect(
      driver
        .queue(NET_RX)
        .used()
        .map((u) => u.length),
    ).toEqual([72]);
    expect(driver.interrupt()).toBe(1);
  });

  it('without mergeable buffers drops what does not fit in one chain', () => {
    const { driver, model } = net(variant, [NET_F_MRG_RXBUF]);
    const header = variant === 'legacy' ? 10 : 12;
    driver.offer(NET_RX, [], [header, 60]);
    expect(model.receive(frame(MAC, 61)), 'dropped').toBe(true);
    expect(driver.queue(NET_RX).used()).toEqual([]);
    expect(model.receive(frame(MAC, 60))).toBe(true);
    expect(
      driver
        .queue(NET_RX)
        .used()
        .map((u) => u.length),
    ).toEqual([header + 60]);
  });

  it('hands on what the other end says of checksum and segmentation', () => {
    const { driver, model } = net(variant);
    const offload = Uint8Array.of(1, 4, 54, 0, 180, 5, 34, 0, 16, 0);
    driver.offer(NET_RX, [], [256]);
    expect(model.receive(frame(MAC, 60), offload)).toBe(true);
    const [used] = driver.queue(NET_RX).used();
    expect([...driver.written(used!).subarray(0, 10)]).toEqual([...offload]);
  });

  it('filters as the control queue says', () => {
    const r = net(variant);
    const { driver, model } = r;
    const arrives = (to: number[], tag?: number): boolean => {
      driver.offer(NET_RX, [], [256]);
      const bytes = frame(Uint8Array.from(to));
      bytes.set(tag === undefined ? [8, 0] : [0x81, 0, tag >> 8, tag & 0xff], 12);
      model.receive(bytes);
      const came = driver.queue(NET_RX).used().length === 1;
      if (!came) {
        // Take the buffer out again, so that the ring does not fill up.
        control(r, 0, 0, 1);
        model.receive(bytes);
        driver.queue(NET_RX).used();
        control(r, 0, 0, 0);
      }
      return came;
    };
    const other = [2, 0, 0, 0, 0, 9];
    const group = [1, 0, 0x5e, 0, 0, 1];
    expect(arrives(other), 'promiscuous until told otherwise').toBe(true);
    expect(control(r, 0, 0, 0)).toBe(0);
    expect([arrives(other), arrives([...MAC]), arrives(group), arrives([...BROADCAST])]).toEqual([
      false,
      true,
      false,
      true,
    ]);
    expect(control(r, 1, 0, 1, 0, 0, 0, ...other, 1, 0, 0, 0, ...group)).toBe(0);
    expect([arrives(other), arrives(group)]).toEqual([true, true]);
    expect(control(r, 1, 0, 200, 0, 0, 0, ...other), 'fewer addresses than said').toBe(1);
    expect(control(r, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)).toBe(0);
    expect([arrives(other), arrives(group)]).toEqual([false, false]);
    for (const [mode, to, now] of [
      [2, other, true],
      [1, group, true],
      [3, group, false],
      [4, [...MAC], false],
      [5, [...BROADCAST], false],
    ] as const) {
      expect(control(r, 0, mode, 1)).toBe(0);
      expect(arrives([...to]), `mode ${mode}`).toBe(now);
    }
    control(r, 0, 4, 0);
    expect(arrives([...MAC], 7), 'a VLAN not asked for').toBe(false);
    expect(control(r, 2, 0, 7, 0)).toBe(0);
    expect(arrives([...MAC], 7)).toBe(true);
    expect(control(r, 2, 1, 7, 0)).toBe(0);
    expect(arrives([...MAC], 7)).toBe(false);
    expect([control(r, 2, 0, 0, 16), control(r, 0, 9, 1), control(r, 4, 0, 1, 0), control(r, 3, 0)]).toEqual([
      1, 1, 1, 1,
    ]);
    expect(control(r, 1, 1, ...other)).toBe(0);
    expect(driver.config(0, 1)).toBe(2);
  });

  it('tells of its link, and goes on from a saved state', () => {
    const r = net(variant);
    r.driver.offer(NET_RX, [], [128]);
    control(r, 0, 0, 0);
    r.model.setLink(false);
    expect(r.driver.config(6, 2)).toBe(0);
    expect(r.driver.get('InterruptStatus') & 2).toBe(2);
    expect(r.model.receive(frame(MAC))).toBe(false);
    const other = new NetDevice({ mac: MAC, backend: { transmit: () => undefined } });
    const s = rig(other, variant, { memory: r.ram });
    s.device.restore(JSON.parse(JSON.stringify(r.device.save())));
    expect(s.device.save()).toEqual(r.device.save());
    other.setLink(true);
    expect(other.receive(frame(Uint8Array.of(2, 0, 0, 0, 0, 9))), 'filtered').toBe(true);
    expect(r.driver.queue(NET_RX).used()).toEqual([]);
    other.receive(frame(MAC));
    expect(r.driver.queue(NET_RX).used().length).toBe(1);
  });
});

it('a legacy driver sets its address in the configuration space', () => {
  const model = new NetDevice({ mac: MAC, backend: { transmit: () => undefined } });
  const { driver, device } = rig(model, 'legacy');
  driver.setUp({ queues: QUEUES, refuse: [NET_F_CTRL_MAC_ADDR] });
  device.write(0x105, 1, 0x99);
  expect(driver.config(5, 1)).toBe(0x99);
  const modern = ready(new NetDevice({ mac: MAC, backend: { transmit: () => undefined } }), 'split', QUEUES);
  modern.device.write(0x105, 1, 0x99);
  expect(modern.driver.config(5, 1)).toBe(0x56);
});

it('counts single buffers where it is told to keep to the specification', () => {
  const model = new NetDevice({ mac: MAC, backend: { transmit: () => undefined }, countSingleBuffers: true });
  const { driver } = rig(model, 'split');
  driver.setUp({ queues: QUEUES, refuse: [NET_F_MRG_RXBUF] });
  driver.offer(NET_RX, [], [128]);
  model.receive(frame(MAC));
  expect(driver.written(driver.queue(NET_RX).used()[0]!)[10]).toBe(1);
});
